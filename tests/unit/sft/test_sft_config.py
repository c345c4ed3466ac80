from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rlgen_k8s.stages.gang import Gang
from rlgen_k8s.stages.sft.config import command, deepspeed_config, environment, training_config
from rlgen_k8s.stages.sft.settings import SftSettings


def config(*, on_gpu: bool = True, resume_from: Path | None = None, **changes: Any) -> dict[str, Any]:
    return training_config(
        SftSettings(**changes),
        model=Path("/base"),
        traces=Path("/traces"),
        output=Path("/output"),
        resume_from=resume_from,
        on_gpu=on_gpu,
    )


def test_the_defaults_are_those_of_the_full_study() -> None:
    full = config()
    assert (full["stage"], full["finetuning_type"]) == ("sft", "full")
    assert (full["learning_rate"], full["num_train_epochs"]) == (5e-5, 1.0)
    assert full["deepspeed"]["zero_optimization"]["stage"] == 3
    assert full["bf16"] is True
    assert "resume_from_checkpoint" not in full


@pytest.mark.parametrize(("per_device", "processes"), [(1, 8), (16, 8), (4, 2), (128, 1)])
def test_processes_forward_passes_and_accumulation_multiply_to_the_global_batch(
    per_device: int, processes: int
) -> None:
    made = config(per_device_batch=per_device, processes=processes)
    assert made["per_device_train_batch_size"] * made["gradient_accumulation_steps"] * processes == 128


def test_a_batch_that_cannot_be_split_evenly_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"batch 128.*per_device_batch × processes = 24"):
        SftSettings(per_device_batch=3, processes=8)


def test_several_processes_without_deepspeed_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"processes 2.*deepspeed_stage"):
        SftSettings(processes=2, deepspeed_stage=None)


def test_the_trainer_neither_saves_nor_reports_on_its_own() -> None:
    made = config()
    assert made["save_strategy"] == "no"
    assert made["report_to"] == "none"


def test_float32_is_neither_trained_nor_read_in_half_precision() -> None:
    made = config(precision="float32")
    assert made["bf16"] is False
    assert made["infer_dtype"] == "float32"


def test_plain_training_without_a_gpu_says_so_and_deepspeed_is_told_its_accelerator(tmp_path: Path) -> None:
    plain = SftSettings(processes=1, deepspeed_stage=None)
    shared = SftSettings(processes=2)
    assert config(processes=1, deepspeed_stage=None, on_gpu=False)["use_cpu"] is True
    assert "use_cpu" not in config(on_gpu=False)
    assert environment(shared, tmp_path, on_gpu=False)["DS_ACCELERATOR"] == "cpu"
    for settings, on_gpu in [(plain, False), (shared, True)]:
        assert environment(settings, tmp_path, on_gpu=on_gpu).get("DS_ACCELERATOR") is None


def test_a_restart_names_the_checkpoint_it_goes_on_from() -> None:
    assert config(resume_from=Path("/output/checkpoint-7"))["resume_from_checkpoint"] == "/output/checkpoint-7"


def test_deepspeed_is_started_by_torchrun_with_its_number_of_processes() -> None:
    plain = command(SftSettings(processes=1, deepspeed_stage=None), Path("c.json"))
    shared = command(SftSettings(processes=4), Path("c.json"))
    assert "torch.distributed.run" not in plain
    assert shared[shared.index("--nproc-per-node") + 1] == "4"
    assert plain[-3:] == shared[-3:]
    assert find_spec(plain[-2]) is not None


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_takes_batch_and_precision_from_the_trainer(stage: int) -> None:
    made = deepspeed_config(stage)
    assert made["zero_optimization"]["stage"] == stage
    assert {made[key] for key in made if key.startswith(("train_", "gradient_"))} == {"auto"}
    assert made["zero_optimization"].get("stage3_gather_16bit_weights_on_model_save", False) is (stage == 3)


def test_the_pods_of_a_gang_share_the_processes_and_meet_at_the_first() -> None:
    settings = SftSettings(processes=8)
    alone = command(settings, Path("c.json"))
    assert "--standalone" in alone and alone[alone.index("--nproc-per-node") + 1] == "8"
    second = command(settings, Path("c.json"), Gang(nodes=2, rank=1, address="first", port=29500))
    assert "--standalone" not in second
    given = {word: second[second.index(word) + 1] for word in second if word.startswith("--n") or "master" in word}
    assert given == {
        "--nnodes": "2",
        "--node-rank": "1",
        "--master-addr": "first",
        "--master-port": "29500",
        "--nproc-per-node": "4",
    }

"""The stage `sft` with the real LLaMA-Factory on a micro model: plain, killed and gone on, and on DeepSpeed."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.local.micro import write_sums
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.points import RESUME_STEPS
from rlgen_k8s.stages.sft.config import training_config
from rlgen_k8s.stages.sft.plan import save_points, total_steps
from rlgen_k8s.stages.sft.run import run
from rlgen_k8s.stages.sft.settings import SftSettings

N_TRACES = 100
MICRO = SftSettings(
    seed=3,
    batch=16,
    per_device_batch=16,
    processes=1,
    deepspeed_stage=None,
    epochs=2,
    learning_rate=1e-2,
    cutoff_len=96,
    template="qwen3_nothink",
    precision="float32",
)
STEPS = total_steps(N_TRACES, MICRO.batch, MICRO.epochs)
KILLED = """
import json, os, signal, sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.sft import run as stage
from rlgen_k8s.stages.sft.settings import SftSettings

@dataclass(frozen=True)
class Killing:
    points: Any
    def newest(self):
        return self.points.newest()
    def save(self, step, folder):
        self.points.save(step, folder)
        if step in json.loads(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

base, traces, out = map(Path, sys.argv[1:4])
context = local_context(SftSettings.model_validate_json(sys.argv[5]), {"base": base, "traces": traces}, out)
stage.run_child = partial(stage.run_child, tick=0.01)  # steps are so short that it would not see each save
stage.run(replace(context, resume=Killing(context.resume)))
"""


@dataclass(frozen=True)
class Training:
    """A finished run of the stage, and what it told while it ran."""

    out: Path
    progress: list[tuple[int, int]] = field(default_factory=list)
    points: list[tuple[int | None, dict[str, float]]] = field(default_factory=list)

    @property
    def curve(self) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self.out / "training.jsonl").read_text().splitlines()]

    def weights(self, number: int) -> dict[str, torch.Tensor]:
        return load_file(self.out / "checkpoints" / str(number) / "model.safetensors")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model with random weights, and traces of sums."""
    base, traces = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("traces")
    write_sums(base, traces, N_TRACES, ModelSettings(layers=2, width=32))
    return {"base": base, "traces": traces}


def train(settings: SftSettings, inputs: dict[str, Path], out: Path) -> Training:
    made = Training(out)
    context = replace(
        local_context(settings, inputs, out),
        progress=lambda done, total: made.progress.append((done, total)),
        metrics=lambda values, step: made.points.append((step, dict(values))),
    )
    run(context)
    return made


@pytest.fixture(scope="module")
def plain(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(MICRO, inputs, tmp_path_factory.mktemp("plain") / "out")


def check_five_checkpoints(made: Training, base: Path) -> None:
    """Five models in Hugging Face format with the base's tokenizer, each of other weights than the one before."""
    assert {path.name for path in made.out.iterdir()} == {"checkpoints", "training.jsonl"}
    assert {path.name for path in (made.out / "checkpoints").iterdir()} == set("12345")
    before = load_file(base / "model.safetensors")
    expected = AutoTokenizer.from_pretrained(base)
    for number in range(1, 6):
        folder = made.out / "checkpoints" / str(number)
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        assert model.dtype == torch.float32
        assert model.config.use_cache is True
        assert tokenizer.get_vocab() == expected.get_vocab()
        assert tokenizer.chat_template == expected.chat_template
        assert (tokenizer.eos_token, tokenizer.pad_token) == (expected.eos_token, expected.pad_token)
        weights = made.weights(number)
        assert weights.keys() == before.keys()
        assert all(not torch.equal(weights[name], before[name]) for name in weights)
        before = weights


def test_plain_training_leaves_five_checkpoints_and_its_loss_falls(plain: Training, inputs: dict[str, Path]) -> None:
    check_five_checkpoints(plain, inputs["base"])
    assert [point["step"] for point in plain.curve] == list(range(1, STEPS + 1))
    assert plain.curve[-1]["loss"] < 0.8 * plain.curve[0]["loss"]
    assert max(point["learning_rate"] for point in plain.curve) == pytest.approx(MICRO.learning_rate, rel=0.05)


def test_the_first_steps_loss_is_the_mean_over_the_assistants_tokens_alone(
    plain: Training, inputs: dict[str, Path]
) -> None:
    """All traces have nearly the same loss under random weights, so that of any batch is close to that of all."""
    tokenizer = AutoTokenizer.from_pretrained(inputs["base"])
    model = AutoModelForCausalLM.from_pretrained(inputs["base"])
    losses = []
    for line in (inputs["traces"] / "traces.jsonl").read_text().splitlines():
        question, response = (turn["value"] for turn in json.loads(line)["conversations"])
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = torch.tensor(tokenizer(f"{prompt}{response}<|im_end|>\n", add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, start - 1 : -1]
        losses += torch.nn.functional.cross_entropy(logits, ids[start:], reduction="none").tolist()
    assert plain.curve[0]["loss"] == pytest.approx(sum(losses) / len(losses), rel=0.01)


def test_progress_and_curve_are_told_while_it_trains(plain: Training) -> None:
    assert plain.progress == [(step, STEPS) for step in range(1, STEPS + 1)]
    told = [(step, values["loss"]) for step, values in plain.points]
    assert told == [(point["step"], point["loss"]) for point in plain.curve]
    assert all(values["seconds"] > 0 for _, values in plain.points)
    assert not any("seconds" in point for point in plain.curve)  # a result has the same bytes at any speed


@pytest.mark.parametrize("every", [None, 1])
def test_killed_with_9_it_goes_on_from_its_newest_point_to_the_weights_of_a_run_without(
    plain: Training, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int | None
) -> None:
    """The point is a checkpoint, or where there are others, one of these."""
    checkpoints = save_points(STEPS)
    at = checkpoints[1:-1]
    if every:
        monkeypatch.setenv(RESUME_STEPS, str(every))
        at = [step for step in range(checkpoints[1], STEPS) if step not in checkpoints]
    killed = subprocess.run(
        [
            *(sys.executable, "-c", KILLED, str(inputs["base"]), str(inputs["traces"])),
            *(str(tmp_path / "out"), json.dumps(at), MICRO.model_dump_json()),
        ],
        stdout=subprocess.DEVNULL,
    )
    assert killed.returncode == -9
    assert list((tmp_path / "out").iterdir()) == []
    after = max(int(path.parent.name[:12]) for path in (tmp_path / "out.resume").rglob("manifest.json"))
    assert after in at
    again = train(MICRO, inputs, tmp_path / "out")
    assert [step for step, _ in again.progress] == list(range(after + 1, STEPS + 1))
    assert [(p["step"], p["loss"]) for p in again.curve] == [(p["step"], p["loss"]) for p in plain.curve]
    for number in range(1, 6):
        ours, theirs = again.weights(number), plain.weights(number)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_deepspeed_zero_3_with_two_processes_trains_as_the_plain_trainer_does(
    plain: Training, inputs: dict[str, Path], tmp_path: Path
) -> None:
    settings = MICRO.model_copy(update={"deepspeed_stage": 3, "processes": 2, "per_device_batch": 8})
    shared = train(settings, inputs, tmp_path / "out")
    check_five_checkpoints(shared, inputs["base"])
    assert len(shared.curve) == STEPS
    whole_batches = N_TRACES // MICRO.batch  # several processes fill up an epoch's last batch with traces seen before
    losses, expected = ([p["loss"] for p in each.curve[:whole_batches]] for each in (shared, plain))
    assert losses == pytest.approx(expected, rel=1e-4)
    assert save_points(STEPS)[1] == whole_batches
    for name, weights in shared.weights(2).items():
        assert torch.allclose(weights, plain.weights(2)[name], atol=1e-4)


def test_a_template_that_builds_another_prompt_than_the_model_expects_is_refused(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"template qwen: builds the prompt .*You are Qwen"):
        train(MICRO.model_copy(update={"template": "qwen"}), inputs, tmp_path / "out")


def test_an_unknown_template_is_refused_with_near_ones(inputs: dict[str, Path]) -> None:
    from rlgen_k8s.stages.sft.train import check_template

    check_template("qwen3_nothink", inputs["base"])
    with pytest.raises(UserError, match=r"template qwen3_nothnk: .*near ones: qwen3_nothink"):
        check_template("qwen3_nothnk", inputs["base"])


def test_only_the_assistants_tokens_are_labels(inputs: dict[str, Path], tmp_path: Path) -> None:
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    config: dict[str, Any] = training_config(
        MICRO, model=inputs["base"], traces=inputs["traces"], output=tmp_path, resume_from=None, on_gpu=False
    )
    model_args, data_args, training_args, _, _ = get_train_args(config)
    modules = load_tokenizer(model_args)
    tokenizer = modules["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    examples = get_dataset(template, model_args, data_args, training_args, stage="sft", **modules)["train_dataset"]
    assert len(examples) == N_TRACES
    records = [json.loads(line) for line in (inputs["traces"] / "traces.jsonl").read_text().splitlines()]
    for example, record in zip(examples, records, strict=True):
        question, response = (turn["value"] for turn in record["conversations"])
        trained = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label != -100]
        masked = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == -100]
        assert tokenizer.decode(trained) == f"{response}<|im_end|>\n"
        assert tokenizer.decode(masked) == f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"

"""No setting of the paper is lost on the way: each number is read where the trainers and the harness read it.

The numbers are those of the paper's sections named beside them; where the paper is silent, of docs/study.md.
"""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlgen_k8s.dag.nodes import Node, plan
from rlgen_k8s.stages.grpo.overrides import Paths, overrides
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.sft.config import training_config
from rlgen_k8s.stages.sft.plan import save_points, total_steps
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.study.load import load_study
from rlgen_k8s.study.settings import Study

STUDIES = {"full-qwen25": "Qwen/Qwen2.5-7B", "full-qwen3": "Qwen/Qwen3-4B-Base"}  # 4
PROBLEMS = 47_000  # A.2
FIFTHS = 5  # 5.2: a checkpoint every 1/5 epoch

LLAMAFACTORY = {
    "stage": "sft",
    "finetuning_type": "full",  # 4: full-parameter tuning
    "learning_rate": 5e-5,  # docs/study.md
    "num_train_epochs": 1.0,  # A.3
    "per_device_train_batch_size": 1,  # of 8 processes
    "gradient_accumulation_steps": 16,  # A.3: 128 together
    "cutoff_len": 17_408,
    "bf16": True,
    "zero": 3,
}
VERL = {
    "algorithm.adv_estimator": "grpo",  # A.3
    "algorithm.use_kl_in_reward": False,  # A.3: KL off
    "data.train_batch_size": 128,  # A.3
    "data.max_response_length": 16_384,  # A.3: up to 16k
    "actor_rollout_ref.rollout.n": 8,  # A.3
    "actor_rollout_ref.rollout.name": "vllm",
    "actor_rollout_ref.rollout.response_length": 16_384,  # A.3
    "actor_rollout_ref.actor.ppo_mini_batch_size": 64,  # A.3
    "actor_rollout_ref.actor.clip_ratio_low": 0.22,  # A.3
    "actor_rollout_ref.actor.clip_ratio_high": 0.28,  # A.3
    "actor_rollout_ref.actor.use_kl_loss": False,  # A.3
    "actor_rollout_ref.actor.kl_loss_coef": 0.0,  # A.3
    "actor_rollout_ref.actor.entropy_coeff": 0.0,  # A.3
    "actor_rollout_ref.actor.optim.lr": 1e-6,  # docs/study.md
    "trainer.total_epochs": 1,  # A.3
    "reward.custom_reward_function.path": "pkg://rlgen_k8s.stages.grpo.reward",  # A.2: equal to the gold answer
}
HARNESS = {
    # Task: data set, responses to each problem, what is averaged. A.4; logiqa and piqa: B.4.
    "openbookqa": ("allenai/openbookqa", 1, "acc"),
    "commonsense_qa": ("tau/commonsense_qa", 1, "acc"),
    "headqa_en": ("EleutherAI/headqa", 1, "acc"),
    "sciq": ("allenai/sciq", 1, "acc"),
    "arc_challenge": ("allenai/ai2_arc", 1, "acc"),
    "logiqa": ("EleutherAI/logiqa", 1, "acc"),
    "piqa": ("baber/piqa", 1, "acc"),
    "math500": ("HuggingFaceH4/MATH-500", 3, "average_at_k"),
    "aime24": ("Maxwell-Jia/AIME_2024", 10, "average_at_k"),
    "aime25": ("math-ai/aime25", 10, "average_at_k"),
}
CROSSCODER = {
    "n_features": 32_768,  # docs/study.md
    "sparsity_weight": 2.0,  # A.1
    "batch": 1024,  # A.1
    "learning_rate": 1e-4,  # docs/study.md
    "epochs": 1,
    "decoder_norm": 0.08,  # docs/study.md, symbols
}
BESIDE = {"noise", "noise-joint", "joint-seed1", "sft-5-seed1", "rl-5-seed1"}
"""Crosscoders that are not the paper's: docs/study.md, weaknesses."""


@pytest.fixture(params=list(STUDIES))
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param)


@pytest.fixture
def nodes(study: Study) -> dict[str, Node]:
    return {node.name: node for node in plan(study)}


def test_models_and_problems_are_the_paper_s(study: Study, nodes: dict[str, Node]) -> None:
    assert nodes["base"].settings_json["repository"] == STUDIES[study.name]
    assert nodes["teacher"].settings_json["repository"] == "Qwen/Qwen3-32B"  # A.2
    assert nodes["problems"].settings_json["size"] == PROBLEMS
    sets = nodes["mirror"].settings_json["revisions"]
    assert {"DigitalLearningGmbH/MATH-lighteval", "agentica-org/DeepScaleR-Preview-Dataset"} <= set(sets)  # A.2
    assert {"open-thoughts/OpenThoughts-114k", "togethercomputer/RedPajama-Data-1T-Sample"} <= set(sets)  # A.1
    assert {path for path, _, _ in HARNESS.values()} <= set(sets)
    corpus = nodes["corpus"].settings_json
    assert (corpus["conversation_tokens"], corpus["text_tokens"]) == (200_000_000, 200_000_000)  # A.1


def test_the_teacher_answers_as_its_card_says_on_every_shard(nodes: dict[str, Node]) -> None:
    shards = [node.settings_json for node in nodes.values() if node.stage == "traces"]
    assert [told["shard"] for told in shards] == list(range(8))
    for told in shards:
        assert (told["engine"], told["shards"], told["max_new_tokens"]) == ("vllm", 8, 16_384)
        assert (told["temperature"], told["top_p"], told["top_k"]) == (0.6, 0.95, 20)  # Qwen3-32B's card, thinking


COMPOSE = """
import json, sys
from llamafactory.hparams import get_train_args
for config in json.load(open(sys.argv[1])):
    try:
        model, data, training, finetuning, _ = get_train_args(config)
    except ValueError as error:
        print("composed:", json.dumps(str(error)))
        continue
    every = {**vars(model), **vars(data), **vars(finetuning), **vars(training)}
    every["zero"] = training.hf_deepspeed_config.config["zero_optimization"]["stage"]
    print("composed:", json.dumps({name: every[name] for name in json.loads(sys.argv[2])}, default=str))
"""


def composed(folder: Path, *configs: dict[str, Any]) -> list[Any]:
    """What LLaMA-Factory's own parser makes of each configuration, or what it says against it.

    As torchrun starts it, for it takes DeepSpeed in no other way; one process stands for all.
    """
    program, given = folder / "compose.py", folder / "configs.json"
    program.write_text(COMPOSE)
    given.write_text(json.dumps(configs))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", str(program)]
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, str(given), json.dumps(list(LLAMAFACTORY))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.removeprefix("composed: ") for line in done.stdout.splitlines() if line.startswith("composed: ")]
    assert len(lines) == len(configs), done.stdout + done.stderr
    return [json.loads(line) for line in lines]


def sft_of(name: str) -> SftSettings:
    settings = next(node.settings for node in plan(load_study(name)) if node.name == "sft")
    assert isinstance(settings, SftSettings)
    return settings


def test_llamafactory_composes_every_number(tmp_path: Path) -> None:
    """With its own parser, which refuses a key that it does not know."""
    every = [sft_of(name) for name in STUDIES]
    configs = [
        training_config(
            settings, model=Path("/m"), traces=Path("/t"), output=tmp_path / "out", resume_from=None, on_gpu=True
        )
        | {"use_cpu": True}  # where there is no GPU, bf16 is taken only from who says so
        for settings in every
    ]

    *found, refused = composed(tmp_path, *configs, configs[0] | {"learning_rat": 5e-5})

    for settings, told in zip(every, found, strict=True):
        assert told == LLAMAFACTORY
        assert told["per_device_train_batch_size"] * told["gradient_accumulation_steps"] * settings.processes == 128
        steps = total_steps(PROBLEMS, settings.batch, settings.epochs)
        assert save_points(steps) == [74, 147, 221, 294, 368]  # 368 steps: each within half a step of a fifth
        assert len(save_points(steps)) == FIFTHS
    assert "learning_rat" in refused


def test_verl_composes_every_number(nodes: dict[str, Node]) -> None:
    """With verl's own command, stopped before it trains."""
    settings = nodes["grpo"].settings
    assert isinstance(settings, GrpoSettings)
    steps = checkpoint_steps(PROBLEMS, settings.prompts_per_step, settings.epochs)
    assert steps == [74, 147, 221, 294, 367]  # 367 whole batches of 128
    paths = Paths(Path("/m"), Path("/p.parquet"), Path("/c"), Path("/r"))
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides(settings, paths, steps)]
    shown = subprocess.run([*command, "--cfg", "job", "--resolve"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    config = yaml.safe_load(shown.stdout)
    assert {path: _number(_at(config, path)) for path in VERL} == VERL
    assert config["trainer"]["save_steps"] == steps
    assert config["trainer"]["n_gpus_per_node"] * config["trainer"]["nnodes"] == 8


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = config[name]
    return config


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-06 as text."""
    return float(value) if isinstance(value, str) and value.replace("e-", "").isdigit() else value


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rlgen_k8s.world.sets import Sizes, build

    folder = tmp_path_factory.mktemp("mirror")
    sizes = Sizes(problems=20, questions=20, math500=20, conversations=20, pages=20, pretraining=20, teaching=20)
    build(folder, sizes, 0, lambda done, total: None)
    return folder


def test_the_harness_is_told_every_number(nodes: dict[str, Node], mirror: Path, tmp_path: Path) -> None:
    from rlgen_k8s.lm.harness.names import is_maths
    from rlgen_k8s.lm.harness.tasks import load_tasks
    from rlgen_k8s.stages.evaluate.run import asked
    from rlgen_k8s.stages.evaluate.settings import EvaluateSettings

    settings, other = (nodes[f"evaluate-rl-{i}"].settings for i in (1, 2))
    assert isinstance(settings, EvaluateSettings) and settings.shards == 2
    assert other == settings.model_copy(update={"shard": 1})
    assert settings.limit is None
    tasks = load_tasks((*settings.multiple_choice, *settings.maths), mirror, tmp_path, asked(settings))
    found = {
        name: (task.config.dataset_path, task.config.repeats, task.config.metric_list[0]["metric"])
        for name, task in tasks.items()
    }
    assert found == HARNESS
    for name, task in tasks.items():
        assert task.config.num_fewshot == 0
        if is_maths(name):
            assert task.config.generation_kwargs["max_gen_toks"] == 16_384
            assert task.config.generation_kwargs["do_sample"] is True
            assert task.config.filter_list[0]["filter"][0]["k"] == HARNESS[name][1]


def test_the_crosscoders_are_told_every_number(nodes: dict[str, Node]) -> None:
    from rlgen_k8s.crosscoder import TrainingPlan
    from rlgen_k8s.stages.stream.settings import StreamSettings

    pairs = {f"{tuned}-{k}" for tuned in ("sft", "rl") for k in range(1, FIFTHS + 1)}  # 5.2
    stream = nodes["stream"].settings
    assert isinstance(stream, StreamSettings)
    assert set(stream.crosscoders) == pairs | {"joint"} | BESIDE  # 6
    for name in stream.crosscoders:
        settings = stream.of(name)
        told = TrainingPlan(**{field.name: getattr(settings, field.name) for field in fields(TrainingPlan)})
        assert {field: getattr(told, field) for field in CROSSCODER} == CROSSCODER
        assert (told.activation, told.norm_penalty) == ("relu", "l1")  # 3.1
        assert told.total_steps(400_000_000) == 390_625
        assert len(settings.models) == (3 if "joint" in name else 2)


def test_analysis_and_interventions_are_told_every_number(nodes: dict[str, Node]) -> None:
    told = nodes["analyse"].settings_json
    assert (told["top"], told["threshold"]) == (50, 0.2)  # 5.2; 7
    assert told["tasks"] == ["openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge"]  # 4
    assert told["unseen_tasks"] == ["logiqa", "piqa"]  # B.4
    zero, raised = (nodes[f"intervene-{model}"].settings_json for model in ("rl", "base"))
    assert (zero["direction"], raised["direction"], raised["value"]) == ("zero", "raise", 3.0)  # 7.1


@pytest.mark.parametrize(("template", "name"), [("chatml", "qwen3"), ("chatml", "qwen3_nothink"), ("llama3", "llama3")])
def test_the_chat_templates_build_llamafactory_s_prompt(template: str, name: str, tmp_path: Path) -> None:
    from rlgen_k8s.lm.chat import CHAT_TEMPLATES
    from rlgen_k8s.stages.model.tokenizer import train_tokenizer
    from rlgen_k8s.stages.sft.train import check_template

    tokenizer = train_tokenizer(["one two three four"], vocabulary=300)
    tokenizer.add_special_tokens({"bos_token": "<|begin_of_text|>"})
    tokenizer.chat_template = CHAT_TEMPLATES[template]
    tokenizer.save_pretrained(tmp_path)
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_text('{"model_type": "llama"}')
    check_template(name, tmp_path)

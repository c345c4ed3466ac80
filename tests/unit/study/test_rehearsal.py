"""A rehearsal is the full study in all but what it says it is not."""

import shutil

import pytest

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.planning import show_settings
from rlgen_k8s.study.explain import settings_table
from rlgen_k8s.study.load import load_study, rehearses, workflows_folder
from rlgen_k8s.study.rehearsal import replaced

FULL = ("full-qwen25", "full-qwen3", "full-llama31")


def values(study):
    return {row.path: row.value for row in settings_table(study)}


def pod(template):
    """A template without its sizes (memory, processor, disk, how long it is expected to take) and without its image,
    which is another where vLLM answers."""
    container, sized = template["container"], ("OMP_NUM_THREADS", "RLGEN_MEMORY", "RLGEN_IMAGE")
    return {
        **{key: value for key, value in template.items() if key not in ("container", "volumes", "metadata")},
        "labels": template["metadata"]["labels"],
        "command": (container["command"], container["args"]),
        "environment": [one for one in container["env"] if one["name"] not in sized],
        "gpus": container["resources"]["requests"].get("nvidia.com/gpu"),
        "volumes": [one["name"] for one in template.get("volumes", ())],
    }


@pytest.mark.parametrize("name", FULL)
def test_a_rehearsal_runs_the_tasks_and_templates_of_its_study(name):
    full, rehearsed = load_study(name), load_study(f"{name}-rehearsal")
    ours, theirs = plan(rehearsed), plan(full)
    assert [(node.name, node.stage, list(node.inputs), node.shape.gpus) for node in ours] == [
        (node.name, node.stage, list(node.inputs), node.shape.gpus) for node in theirs
    ]
    rendered = [build_workflow(*pair).to_dict()["spec"]["templates"] for pair in ((rehearsed, ours), (full, theirs))]
    offline = {"mirror", "model"}  # the tiny study's data and models are made, not fetched
    for small, large in zip(*rendered, strict=True):
        if "container" in small and small["name"] not in offline:
            assert pod(small) == pod(large)


@pytest.mark.parametrize("name", FULL)
def test_sizes_models_and_data_are_the_tiny_studys_and_every_method_is_the_full_studys(name):
    full, rehearsed = values(load_study(name)), values(load_study(f"{name}-rehearsal"))
    kept = [
        "traces.temperature",
        "traces.top_p",
        "traces.max_tries",
        "traces.shards",
        "sft.batch",
        "sft.deepspeed_stage",
        "sft.gradient_checkpointing",
        "grpo.rollouts",
        "grpo.clip_low",
        "grpo.clip_high",
        "grpo.epochs",
        "evaluate.multiple_choice",
        "evaluate.maths",
        "evaluate.repeats_math500",
        "evaluate.repeats_aime",
        "activations",
        "crosscoder.precision",
        "crosscoder.sparsity_weight",
        "crosscoder.batch",
        "crosscoder.epochs",
        "intervene.value",
        "analyse.top",
        "analyse.threshold",
        "report.paper_model",
        "pods.sft.gpus",
        "pods.grpo.gpus",
        "pods.sft.patience",
        "pods.grpo.resume_steps",
    ]
    assert {path: rehearsed[path] for path in kept} == {path: full[path] for path in kept}
    assert rehearsed["grpo.prompts_per_step"] / rehearsed["grpo.mini_batch_prompts"] == 2
    assert rehearsed["sft.processes"] == 2
    tiny = values(load_study("tiny"))
    for path in (
        "base.steps",
        "problems.size",
        "sft.learning_rate",
        "grpo.learning_rate",
        "corpus.length",
        "crosscoder.n_features",
        "pods.sft.memory",
    ):
        assert rehearsed[path] == tiny[path]
    assert 0 < rehearsed["evaluate.limit"] < tiny["mirror.questions"]
    assert rehearsed["grpo.max_problems"] / rehearsed["grpo.prompts_per_step"] >= 5  # a step for each checkpoint


def test_the_settings_that_differ_are_listed_with_the_full_studys_value(capsys):
    full, rehearsed = load_study("full-qwen25"), load_study("full-qwen25-rehearsal")
    listed = replaced(full, rehearsed)
    before, after = values(full), values(rehearsed)
    assert set(listed) == {path for path in before if path in after and before[path] != after[path]}
    show_settings("full-qwen25-rehearsal", "problems.size", [])
    assert "2560" in (said := capsys.readouterr().out) and "rehearsal; full-qwen25: 47000" in said


@pytest.mark.parametrize(
    ("assignment", "processes", "n_gpus"),
    [
        ("pods.sft.nodes=2", 2, 1),
        ("pods.sft.nodes=4", 4, 1),
        ("pods.grpo.nodes=2", 2, 2),
        ("pods.stream.nodes=2", 2, 1),
    ],
)
def test_stages_on_several_nodes_are_rehearsed_on_as_many(assignment, processes, n_gpus):
    rehearsed = load_study("full-qwen25-rehearsal", [assignment])
    stage = assignment.split(".")[1]
    assert rehearsed.pods[stage].nodes == int(assignment[-1])
    assert (rehearsed.sft.processes, rehearsed.grpo.n_gpus) == (processes, n_gpus)
    assert rehearsed.sft.processes * rehearsed.sft.per_device_batch == load_study("full-qwen25").sft.batch
    gang = next(node for node in plan(rehearsed) if node.stage == stage)
    assert gang.shape.nodes == int(assignment[-1])


def test_a_study_that_cannot_be_rehearsed_says_so_in_a_line(tmp_path, monkeypatch):
    """Its batch of 127 cannot be shared between two processes."""
    for file in workflows_folder().glob("*.py"):
        shutil.copy(file, tmp_path)
    settings = ["sft.batch=127", "sft.processes=1", "sft.per_device_batch=1"]
    (tmp_path / "odd.py").write_text(
        f"from rlgen_k8s.study.load import load_study\nfrom rlgen_k8s.study.overrides import override\n"
        f"STUDY = override(load_study('full-qwen25'), {settings})\n"
    )
    monkeypatch.setenv("RLGEN_WORKFLOWS", str(tmp_path))
    with pytest.raises(UserError, match=r"^rehearsal of odd: setting sft: .*127.*$"):
        load_study("odd-rehearsal")


def test_a_rehearsal_takes_settings_like_any_study():
    assert load_study("full-qwen3-rehearsal", ["pods.sft.gpus=0"]).pods["sft"].gpus == 0
    assert rehearses("full-qwen3-rehearsal") == "full-qwen3" and not rehearses("full-qwen3")
    with pytest.raises(UserError, match=r"study ful-qwen3: no ful_qwen3\.py.*did you mean full-qwen3"):
        load_study("ful-qwen3-rehearsal")

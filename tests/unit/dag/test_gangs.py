"""A stage that several pods run: what Argo is given, and what the launcher is given to make.

After a change that is meant: `RLGEN_GOLDEN=write .venv/bin/python -m pytest tests/unit/dag/test_gangs.py`, then read
the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlgen_k8s.dag.names import GANG, JOBSET, gang_name
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.place import CHART, Place
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.workflows import gangs
from rlgen_k8s.runners.local.tasks import read_tasks
from rlgen_k8s.study.load import load_study

GOLDEN = Path(__file__).parent / "golden" / "gang.yaml"
SHARED = ("sft.processes=2", "sft.deepspeed_stage=2", "sft.per_device_batch=64", "pods.sft.gpus=1")
TWO = (*SHARED, "pods.sft.nodes=2")


def rendered(*assignments: str, place: Place = CHART) -> dict[str, Any]:
    study = load_study("tiny", list(assignments))
    made: dict[str, Any] = build_workflow(study, plan(study), place=place).to_dict()
    return made


def sft(workflow: dict[str, Any]) -> dict[str, Any]:
    return next(template for template in workflow["spec"]["templates"] if template["name"] == "sft")


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value") or item["valueFrom"] for item in container["env"]}


@pytest.fixture(scope="module")
def launcher() -> dict[str, Any]:
    return sft(rendered(*TWO))


@pytest.fixture(scope="module")
def jobset(launcher: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(variables(launcher["container"])[JOBSET])
    return made


def pod_of(jobset: dict[str, Any]) -> dict[str, Any]:
    (job,) = jobset["spec"]["replicatedJobs"]
    template: dict[str, Any] = job["template"]["spec"]["template"]
    return template


def test_a_gang_renders_to_what_was_read_and_found_right(launcher: dict[str, Any], jobset: dict[str, Any]) -> None:
    container = launcher["container"]
    given = {**container, "env": [item for item in container["env"] if item["name"] != JOBSET]}
    made = json.loads(json.dumps({"launcher": {**launcher, "container": given}, "jobset": jobset}))
    if os.environ.get("RLGEN_GOLDEN") == "write":
        GOLDEN.write_text(yaml.safe_dump(made, sort_keys=False, width=120, allow_unicode=True))
    assert yaml.safe_load(GOLDEN.read_text()) == made


def test_a_pod_of_the_gang_is_that_of_the_stage_alone(jobset: dict[str, Any]) -> None:
    alone, pod = sft(rendered(*SHARED))["container"], pod_of(jobset)["spec"]
    (container,) = pod["containers"]
    for part in ("image", "command", "resources", "securityContext", "volumeMounts"):
        assert container[part] == json.loads(json.dumps(alone[part])), part
    mine, its = variables(alone), variables(container)
    assert {name: its[name] for name in mine} == {**mine, "RLGEN_GPUS": "2"}
    assert its.keys() - mine.keys() == {"NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}
    assert pod["automountServiceAccountToken"] is False


def test_the_launcher_has_a_token_and_little_else(launcher: dict[str, Any]) -> None:
    assert launcher["serviceAccountName"] == "rlgen-launcher"
    assert launcher["automountServiceAccountToken"] is True
    assert launcher["container"]["resources"]["requests"]["cpu"] == "0.1"
    assert not [label for label in launcher["metadata"]["labels"] if "kueue" in label]
    assert "nvidia.com/gpu" not in launcher["container"]["resources"]["requests"]


def test_what_argo_fills_in_leaves_the_jobset_json(launcher: dict[str, Any]) -> None:
    """Arguments are JSON themselves, so they are not among it."""
    text = variables(launcher["container"])[JOBSET]
    for name in ("inputs.parameters.settings", "inputs.parameters.inputs"):
        assert name not in text
    assert "args" not in pod_of(json.loads(text))["spec"]["containers"][0]


def test_nobody_but_kueue_starts_a_gang(jobset: dict[str, Any]) -> None:
    assert jobset["spec"]["suspend"] is True
    assert jobset["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "rlgen-stages"


def test_names_are_short_enough_for_the_hosts_of_a_gang(jobset: dict[str, Any]) -> None:
    name = gang_name("sft", "0" * 32)
    assert jobset["metadata"]["name"].replace("{{inputs.parameters.key}}", "0" * 32) == name
    host = variables(pod_of(jobset)["spec"]["containers"][0])["MASTER_ADDR"].partition(".")[0]
    assert len(host.replace("{{inputs.parameters.key}}", "0" * 32)) <= 63
    assert GANG in pod_of(jobset)["metadata"]["labels"]


def test_a_watch_finds_the_jobset_of_a_task() -> None:
    study = load_study("tiny", list(TWO))
    key = next(node.key for node in plan(study) if node.name == "sft")
    assert gangs(rendered(*TWO)) == {gang_name("sft", key): "sft"}
    assert gangs(rendered()) == {}


def test_where_there_is_no_queue_all_processes_are_in_one_pod() -> None:
    here = Place(store="/store")
    assert sft(rendered(*TWO, place=here))["container"]["command"] == ["rlgen-stage"]
    assert [task.argv[0] for task in read_tasks(rendered(*TWO, place=here)) if task.name == "sft"] == ["rlgen-stage"]


def test_on_how_many_nodes_is_no_part_of_the_result() -> None:
    one, two = (plan(load_study("tiny", list(each))) for each in (SHARED, TWO))
    assert [node.key for node in one] == [node.key for node in two]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("pods.report.nodes=2",), r"pods\.report\.nodes=2: only sft, grpo and stream"),
        (("pods.grpo.nodes=2",), r"pods\.grpo\.nodes=2: grpo\.n_gpus=1 cannot be shared evenly; .* a multiple of 2"),
        (("pods.sft.nodes=2",), r"pods\.sft\.nodes=2: sft\.processes=1 cannot be shared"),
    ],
)
def test_a_stage_that_cannot_be_shared_is_refused_by_name(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_study("tiny", list(settings))

"""A full study's rehearsal: its tasks, pods and GPU requests on the cluster, with the tiny study's models and data.

By the commands of docs/full-study.md.
"""

import re
import shlex
from datetime import datetime, timedelta

import pytest
from tests.cluster.study.conftest import outputs_of, page, parent_and_tasks
from tests.pages import ROOT, blocks

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import read_platform
from rlgen_k8s.runners.argo.status import attempts
from rlgen_k8s.study.load import load_study

STUDY = "full-qwen25-rehearsal"
LIMIT = timedelta(minutes=30)
SHOWN = blocks(ROOT / "docs/full-study.md", "sh rehearsal")
[REHEARSES] = [block for block in SHOWN if "submit WF=full-qwen25 REHEARSE=1" in block]
AFTERWARDS = [block for block in SHOWN if block != REHEARSES]

pytestmark = pytest.mark.timeout(45 * 60)


@pytest.fixture(scope="session")
def rehearsed(submitted, cluster):
    """The workflow when it has ended. What it has in common with the tiny study is there already."""
    said = typed(cluster, REHEARSES)
    print(said)
    [name] = re.findall(r"^(\S+): submitted", said, re.M)
    cluster.submitted.append(name)
    return cluster.workflow(name)


def typed(cluster, block):
    """A block of the page as a person types it who has put their own addresses and keys in; what it prints."""
    store = read_platform(connect(cluster.namespace)).store_public
    block = block.replace("'s3://rlgen/results?endpoint=https://s3.example.com'", shlex.quote(store))
    block = block.replace("_KEY=KEY", "_KEY=$MINIO_ACCESS_KEY").replace("_KEY=SECRET", "_KEY=$MINIO_SECRET_KEY")
    first = f"""
        unset MAKEFLAGS MAKELEVEL
        trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
        export PATH={shlex.quote(str(ROOT / ".venv/bin"))}:$PATH RLGEN_STORE={shlex.quote(store)}
    """
    return cluster.run("bash", "-euc", first + block, timeout=2400)


def test_every_task_succeeds_at_the_first_attempt_within_half_an_hour(rehearsed, cluster):
    assert rehearsed["status"]["phase"] == "Succeeded"
    took = datetime.fromisoformat(rehearsed["status"]["finishedAt"]) - datetime.fromisoformat(
        rehearsed["status"]["startedAt"]
    )
    assert took < LIMIT
    for node in plan(load_study(STUDY)):
        assert cluster.store.manifest(node.address), node.name
        assert len(attempts(rehearsed, node.name)) <= 1, node.name


def test_pods_ask_for_the_full_studys_gpus_and_mlflow_counts_their_seconds(rehearsed, tracking):
    _, runs = parent_and_tasks(tracking, rehearsed)
    metrics = {name: run.data.metrics for name, run in runs.items()}
    for node in plan(load_study("full-qwen25")):
        if node.name in metrics and "duration_seconds" in metrics[node.name]:
            of = metrics[node.name]
            assert of["gpu_seconds"] == pytest.approx(node.shape.gpus * of["duration_seconds"], rel=0.01), node.name
    assert metrics["sft"]["gpu_seconds"] > 0 and metrics["grpo"]["gpu_seconds"] > 0


def test_argo_counts_the_gpus_of_its_tasks_and_shows_their_progress(rehearsed, tracking):
    _, runs = parent_and_tasks(tracking, rehearsed)
    nodes = {node.name: node for node in plan(load_study(STUDY))}
    on_gpus = [name for name in runs if name in nodes and nodes[name].shape.gpus and attempts(rehearsed, name)]
    assert {"sft", "grpo", "stream"} <= set(on_gpus)
    for name in on_gpus:
        made = attempts(rehearsed, name)[-1]
        # Argo knows whole seconds.
        gpus = nodes[name].shape.gpus
        assert made["resourcesDuration"]["nvidia.com/gpu"] >= runs[name].data.metrics["gpu_seconds"] - 2 * gpus, name
    for name in ("sft", "grpo", "stream"):
        done, total = map(int, attempts(rehearsed, name)[-1]["progress"].split("/"))
        assert done == total > 1, f"{name}: Argo's own 1/1"


@pytest.mark.parametrize("block", AFTERWARDS, ids=lambda block: block.strip().splitlines()[-1])
def test_what_the_page_says_to_type_of_the_study_works_of_its_rehearsal(rehearsed, cluster, block):
    """Everything is there by then; what there is to compare it with is the tiny study."""
    said = typed(cluster, re.sub(r"full-qwen25\b", STUDY, block).replace("full-qwen3", "tiny"))
    if "submit" in block:
        assert "nothing to run" in said
    if "--against" in block:
        said = "".join(said.split())  # lines are wrapped
        assert "tasksknowntoMLflow" in said and f"reports/{STUDY}.html" in said


def test_its_report_has_every_figure_and_table(rehearsed, cluster):
    text = page(f"{outputs_of(cluster, rehearsed, 'report')}/report")
    assert 'id="figure-1"' in text and 'id="table-5"' in text

"""A full study's rehearsal: its tasks, pods and GPU requests on the cluster, with the tiny study's models and data."""

from datetime import datetime, timedelta

import pytest
from tests.cluster.study.conftest import outputs_of, page, parent_and_tasks

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.argo.status import attempts
from rlgen_k8s.study.load import load_study

STUDY = "full-qwen25-rehearsal"
LIMIT = timedelta(minutes=30)

pytestmark = pytest.mark.timeout(45 * 60)


@pytest.fixture(scope="session")
def rehearsed(submitted, cluster):
    """The workflow when it has ended. What it has in common with the tiny study is there already."""
    name = cluster.submit(study=STUDY)
    print(cluster.rlgen("watch", name, timeout=2400))
    return cluster.workflow(name)


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


def test_its_report_has_every_figure_and_table(rehearsed, cluster):
    text = page(f"{outputs_of(cluster, rehearsed, 'report')}/report")
    assert 'id="figure-1"' in text and 'id="table-5"' in text

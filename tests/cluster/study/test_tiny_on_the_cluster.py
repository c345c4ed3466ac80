"""What a person has after `make submit WF=tiny`: results in the store, pages in Argo, runs in MLflow."""

import re

import pytest
from tests.cluster.study.conftest import MOVING, outputs_of, page, parent_and_tasks

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import read_platform
from rlgen_k8s.runners.argo.status import attempts
from rlgen_k8s.study.load import load_study

pytestmark = pytest.mark.timeout(45 * 60)


@pytest.fixture(scope="session")
def nodes():
    return plan(load_study("tiny"))


def test_every_task_succeeds_and_shows_its_progress(submitted, nodes):
    assert submitted.workflow["status"]["phase"] == "Succeeded"
    for node in nodes:
        tries = attempts(submitted.workflow, node.name)
        if node.name in submitted.hits:
            assert not tries
            continue
        assert tries[-1]["phase"] == "Succeeded", node.name
        done, total = map(int, tries[-1]["progress"].split("/"))
        assert done == total
        assert total > 1 or node.stage not in MOVING, f"{node.name}: Argo's own 1/1"
        assert "cpu" in tries[-1]["resourcesDuration"]


def test_watch_says_how_far_tasks_are_while_they_run(submitted):
    told = re.findall(r"^[\d:]+  (\S+) +(\d+)/(\d+)  ", submitted.watched, re.M)
    assert [task for task, done, total in told if 0 < int(done) < int(total)], submitted.watched


def test_every_result_is_whole_and_says_which_image_made_it(submitted, nodes, cluster, tmp_path):
    for node in nodes:
        manifest = cluster.store.manifest(node.address)
        assert manifest is not None and manifest.identity.inputs == node.input_addresses
        if node.name not in submitted.hits:
            assert re.search(r"@sha256:[0-9a-f]{64}$", manifest.provenance.image), manifest.provenance.image
    cluster.store.fetch(nodes[-1].address, tmp_path)


def test_the_report_and_its_figures_can_be_looked_at_in_argo(submitted, cluster):
    outputs = outputs_of(cluster, submitted.workflow, "report")
    report = page(f"{outputs}/report")
    assert 'id="figure-1"' in report and 'id="table-5"' in report
    assert ".svg" in page(f"{outputs}/figures/")
    link = re.search(r'href="(features/\d+\.html)"', report)
    assert link
    assert 'id="figure-firing"' in page(f"{outputs}/{link[1]}")


def test_every_task_is_a_finished_run_in_mlflow_with_time_and_address(submitted, nodes, tracking):
    parent, by_task = parent_and_tasks(tracking, submitted.workflow)
    assert parent.info.status == "FINISHED"
    for node in nodes:
        if node.name in submitted.hits:
            continue
        run = by_task[node.name]
        assert run.info.status == "FINISHED"
        assert run.data.metrics["duration_seconds"] > 0
        assert run.data.metrics["gpu_seconds"] == 0
        assert run.data.tags["rlgen.address"] == node.address


def test_weights_that_one_task_fetched_the_next_finds_on_its_node(submitted, cluster):
    said = cluster.rlgen("logs", "intervene-base", submitted.name)
    assert "model.safetensors: from this node's cache" in said


def test_what_the_cluster_made_is_a_hit_on_this_machine(submitted, cluster, start, tmp_path):
    reached = connect(cluster.namespace)
    platform = read_platform(reached)
    run = start("run", "tiny", RLGEN_STORE=platform.store_public, RLGEN_HOME=str(tmp_path))
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert "nothing to run" in said
    assert (tmp_path / "reports/tiny.html").exists()

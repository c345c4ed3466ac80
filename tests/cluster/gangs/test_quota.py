"""What Kueue keeps out says why, and comes in when there is room."""

import re
import time

import pytest
from kubernetes.client import AdmissionregistrationV1Api
from tests.cluster.argo.test_watch import Watching
from tests.cluster.faults.test_lost_attempts import AGE, GONE
from tests.cluster.gangs.conftest import counted

from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.workloads import workloads

STEPS = 25


@pytest.fixture
def urgent(cluster):
    """A priority above that of all others."""
    name = "rlgen-test-urgent"
    place = ("kueue.x-k8s.io", "v1beta2", "workloadpriorityclasses")
    body = {"apiVersion": "/".join(place[:2]), "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": 9}
    cluster.custom.create_cluster_custom_object(*place, body)
    yield name
    cluster.custom.delete_cluster_custom_object(*place, name)


@pytest.mark.timeout(500)
def test_of_two_gangs_one_is_let_in_and_the_other_when_that_ends(gang, start):
    first = gang(steps=40, pause=1.0)
    first.pod(0)
    second = gang(steps=3)

    watching = Watching(start("watch", second.name))
    said = watching.until("waits: for quota")
    assert "insufficient unused quota for cpu" in said, said
    assert second.jobset()["spec"]["suspend"] is True

    first.end()
    second.end()
    code, said = watching.end()
    assert code == 0, said


@pytest.mark.timeout(500)
def test_a_gang_that_a_more_urgent_one_puts_off_comes_back_and_goes_on(gang, urgent, cluster):
    first = gang(steps=STEPS, pause=1.0)
    uids = [first.pod(rank)["metadata"]["uid"] for rank in (0, 1)]

    second = gang(steps=3, priority=urgent)
    second.end()

    assert first.pod(0, after=tuple(uids))["metadata"]["uid"] not in uids
    [attempt] = first.end()  # nothing failed: a single launcher saw it all
    assert first.counted(STEPS), attempt
    said = cluster.rlgen("logs", "count", first.name)
    assert "waits for quota" in said and "admitted" in said, said
    assert re.search(r"going on from step [1-9]", said), said


@pytest.mark.timeout(120)
def test_quota_that_can_never_be_enough_is_said_before_submission(cluster, seed):
    wanted = ["sft.processes=16", "sft.deepspeed_stage=3", "sft.per_device_batch=8", "pods.sft.gpus=9"]
    wanted += ["pods.sft.nodes=2", "pods.evaluate.gpus=17"]
    settings = [word for pair in (f"seed={seed}", *wanted) for word in ("--set", pair)]
    before = cluster.names()
    for command in ("doctor", "submit"):
        said = cluster.rlgen(command, "tiny", *settings, code=2)
        assert "sft: 18 nvidia.com/gpu, of 16 nvidia.com/gpu" in said, said
        assert "evaluate: 17 nvidia.com/gpu, of 16 nvidia.com/gpu" in said, said
    assert cluster.names() == before


def test_a_kueue_that_is_away_keeps_out_no_pod_but_those_that_name_a_queue(cluster):
    """Its webhooks refuse when they are not reached."""
    api = AdmissionregistrationV1Api(cluster.core.api_client)
    kinds = {"pods", "deployments", "statefulsets", "jobs"}
    for listed in (api.list_mutating_webhook_configuration(), api.list_validating_webhook_configuration()):
        [found] = [one for one in listed.items if one.metadata.name.startswith("kueue-")]
        [seen] = [one for one in found.webhooks if kinds & {kind for rule in one.rules for kind in rule.resources}]
        [label] = seen.object_selector.match_expressions
        assert (label.key, label.operator) == ("kueue.x-k8s.io/queue-name", "Exists")


def pods_of(cluster, work):
    selector = f"workflows.argoproj.io/workflow={work.name},rlgen-k8s/task={work.task}"
    listed = cluster.core.list_namespaced_pod(cluster.namespace, label_selector=selector).items
    return [cluster.core.api_client.sanitize_for_serialization(pod) for pod in listed]


def workloads_of(cluster, pods):
    """Names of the workloads of these pods."""
    names = {pod["metadata"]["name"] for pod in pods}
    return [
        one["metadata"]["name"]
        for one in workloads(connect(cluster.namespace))
        if names & {owner["name"] for owner in one["metadata"]["ownerReferences"]}
    ]


@pytest.mark.timeout(300)
def test_of_two_pods_with_gpus_one_is_let_in_and_the_other_when_that_ends(alone, cluster, start):
    first = alone(steps=10, pause=1.0)
    first.pod()
    second = alone(steps=3)

    watching = Watching(start("watch", second.name))
    said = watching.until("waits: for quota")
    assert "insufficient unused quota for nvidia.com/gpu" in said, said
    [waiting] = pods_of(cluster, second)
    assert "startTime" not in waiting["status"], "what a deadline of the pod would count from"

    first.end()
    second.end()
    code, said = watching.end()
    assert code == 0, said


@pytest.mark.timeout(300)
def test_a_pod_that_a_more_urgent_one_puts_off_comes_back_and_goes_on(alone, urgent, cluster):
    first = alone(steps=18, pause=1.0)
    pod = first.pod()
    first.counted(AGE - 2)  # it had to start first

    second = alone(steps=3, priority=urgent)
    second.end()

    again = first.pod(after=(pod,))
    assert re.search(r"going on from step [1-9]", first.says(again, "going on"))
    first.end()
    put_off, good = first.attempts()
    assert any(words in put_off["message"] for words in GONE), put_off
    assert good["phase"] == "Succeeded"
    assert counted(cluster.store, first.address, 18)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ended", ["stopped", "deleted"])
def test_a_workflow_that_ends_while_its_pod_waits_leaves_nothing_in_the_queue(alone, cluster, start, ended):
    work = alone(steps=3, gpus=17)
    Watching(start("watch", work.name)).until("> maximum capacity (16)")
    pods = pods_of(cluster, work)
    assert len(workloads_of(cluster, pods)) == 1

    if ended == "stopped":
        cluster.rlgen("stop", work.name)
    else:
        cluster.custom.delete_namespaced_custom_object(*cluster.workflows, work.name)

    ends = time.monotonic() + 30
    while (left := (pods_of(cluster, work), workloads_of(cluster, pods))) != ([], []):
        assert time.monotonic() < ends, left
        time.sleep(0.2)

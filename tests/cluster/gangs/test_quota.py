"""What Kueue keeps out says why, and comes in when there is room."""

import re

import pytest
from tests.cluster.argo.test_watch import Watching

STEPS = 25


@pytest.fixture
def urgent(cluster):
    """A priority above that of all other gangs."""
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
    wanted = ["sft.processes=16", "sft.deepspeed_stage=3", "sft.per_device_batch=8", "pods.sft.gpus=8"]
    settings = [word for pair in (f"seed={seed}", *wanted, "pods.sft.nodes=2") for word in ("--set", pair)]
    before = cluster.names()
    for command in ("doctor", "submit"):
        said = cluster.rlgen(command, "tiny", *settings, code=2)
        assert "gangs" in said and "sft: 16 nvidia.com/gpu, of 8 nvidia.com/gpu" in said, said
    assert cluster.names() == before

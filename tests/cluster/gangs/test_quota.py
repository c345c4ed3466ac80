"""What Kueue keeps out says why, and comes in when there is room."""

import pytest
from tests.cluster.argo.test_watch import Watching


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


@pytest.mark.timeout(120)
def test_quota_that_can_never_be_enough_is_said_before_submission(cluster, seed):
    wanted = ["sft.processes=16", "sft.deepspeed_stage=3", "sft.per_device_batch=8", "pods.sft.gpus=8"]
    settings = [word for pair in (f"seed={seed}", *wanted, "pods.sft.nodes=2") for word in ("--set", pair)]
    before = cluster.names()
    for command in ("doctor", "submit"):
        said = cluster.rlgen(command, "tiny", *settings, code=2)
        assert "gangs" in said and "sft: 16 nvidia.com/gpu, of 8 nvidia.com/gpu" in said, said
    assert cluster.names() == before

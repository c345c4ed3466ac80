"""Why a task waits: a gang's launcher runs for Argo, while Kueue keeps the gang out."""

import pytest

from rlgen_k8s.runners.argo import waiting
from rlgen_k8s.runners.argo.waiting import Waiting
from rlgen_k8s.runners.gang.queue import hopeless, reason
from rlgen_k8s.runners.states import Phase, TaskState


def workload(status, message, owner="sft-1"):
    condition = {"type": "QuotaReserved", "status": status, "message": message}
    owners = [{"kind": "JobSet", "name": owner}]
    return {"metadata": {"ownerReferences": owners}, "status": {"conditions": [condition]}}


def test_kueue_s_words_are_the_reason_until_there_is_quota():
    assert reason([workload("False", "2 more\nneeded")], "sft-1") == "for quota: 2 more needed"
    assert reason([workload("True", "Quota reserved")], "sft-1") == ""
    assert reason([workload("False", "2 more needed", "sft-2")], "sft-1") == ""
    assert reason([{"metadata": {}}], "sft-1") == ""


@pytest.mark.parametrize(
    ("said", "never"),
    [
        (
            "insufficient quota for nvidia.com/gpu in flavor rlgen-gangs, previously considered podsets requests (0) "
            "+ current podset request (16) > maximum capacity (8)",
            True,
        ),
        ("resource nvidia.com/gpu unavailable in ClusterQueue", True),
        ("insufficient unused quota for nvidia.com/gpu in flavor rlgen-gangs, 4 more needed", False),
    ],
)
def test_what_no_job_s_end_changes_is_told_from_what_one_may(said, never):
    assert hopeless(said) is never


def test_a_gang_that_is_kept_out_waits_whatever_its_launcher_does(monkeypatch):
    monkeypatch.setattr(waiting, "workloads", lambda cluster: [workload("False", "2 more needed")])
    monkeypatch.setattr(Waiting, "_look", lambda self: {})
    tasks = [TaskState("sft", Phase.RUNNING), TaskState("grpo", Phase.RUNNING)]
    assert Waiting(None, "tiny").reasons(tasks, {"sft-1": "sft"}) == {"sft": "for quota: 2 more needed"}
    assert Waiting(None, "tiny").reasons(tasks, {}) == {}
    over = [TaskState("sft", Phase.SUCCEEDED)]
    assert Waiting(None, "tiny").reasons(over, {"sft-1": "sft"}) == {}

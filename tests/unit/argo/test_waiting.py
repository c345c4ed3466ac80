"""Why a task waits: for Argo a gang's launcher runs and a pod is Pending without a word, while Kueue keeps both out."""

from types import SimpleNamespace

import pytest

from rlgen_k8s.dag.names import TASK
from rlgen_k8s.runners.argo import waiting
from rlgen_k8s.runners.argo.waiting import Waiting
from rlgen_k8s.runners.argo.workloads import hopeless, reason
from rlgen_k8s.runners.states import Phase, TaskState


def workload(status, message, owner="sft-1", kind="JobSet"):
    condition = {"type": "QuotaReserved", "status": status, "message": message}
    owners = [{"kind": kind, "name": owner}]
    return {"metadata": {"ownerReferences": owners}, "status": {"conditions": [condition]}}


def test_kueue_s_words_are_the_reason_until_there_is_quota():
    assert reason([workload("False", "2 more\nneeded")], "JobSet", "sft-1") == "for quota: 2 more needed"
    assert reason([workload("True", "Quota reserved")], "JobSet", "sft-1") == ""
    assert reason([workload("False", "2 more needed", "sft-2")], "JobSet", "sft-1") == ""
    assert reason([workload("False", "2 more needed")], "Pod", "sft-1") == ""
    assert reason([{"metadata": {}}], "JobSet", "sft-1") == ""


@pytest.mark.parametrize(
    ("said", "never"),
    [
        (
            "insufficient quota for nvidia.com/gpu in flavor rlgen-stages, previously considered podsets requests (0) "
            "+ current podset request (16) > maximum capacity (8)",
            True,
        ),
        ("resource nvidia.com/gpu unavailable in ClusterQueue", True),
        ("insufficient unused quota for nvidia.com/gpu in flavor rlgen-stages, 4 more needed", False),
    ],
)
def test_what_no_job_s_end_changes_is_told_from_what_one_may(said, never):
    assert hopeless(said) is never


def test_a_gang_that_is_kept_out_waits_whatever_its_launcher_does(monkeypatch):
    monkeypatch.setattr(waiting, "workloads", lambda cluster: [workload("False", "2 more needed")])
    monkeypatch.setattr(Waiting, "_pending", lambda self: {})
    tasks = [TaskState("sft", Phase.RUNNING), TaskState("grpo", Phase.RUNNING)]
    assert Waiting(None, "tiny").reasons(tasks, {"sft-1": "sft"}) == {"sft": "for quota: 2 more needed"}
    assert Waiting(None, "tiny").reasons(tasks, {}) == {}
    over = [TaskState("sft", Phase.SUCCEEDED)]
    assert Waiting(None, "tiny").reasons(over, {"sft-1": "sft"}) == {}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ([workload("False", "1 more needed", "tiny-evaluate-1", "Pod")], "for quota: 1 more needed"),
        ([], "SchedulingGated: Scheduling is blocked due to non-empty scheduling gates"),
    ],
)
def test_a_pod_that_is_kept_out_waits_for_quota_as_soon_as_kueue_has_looked_at_it(monkeypatch, known, said):
    gated = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }
    pod = {
        "metadata": {"name": "tiny-evaluate-1", "labels": {TASK: "evaluate"}},
        "spec": {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
        "status": {"phase": "Pending", "conditions": [gated]},
    }
    answers = {"pods": [pod], "events": []}
    core = SimpleNamespace(list_namespaced_pod="pods", list_namespaced_event="events")
    monkeypatch.setattr(waiting, "read", lambda call, *_, **__: {"items": answers[call]})
    monkeypatch.setattr(waiting, "workloads", lambda cluster: known)
    tasks = [TaskState("evaluate", Phase.PENDING)]
    assert Waiting(SimpleNamespace(core=core, namespace="rlgen"), "tiny").reasons(tasks, {}) == {"evaluate": said}

"""Workflow objects as states of tasks, and what is told of their changes."""

import base64
import gzip
import json

from rlgen_k8s.runners.argo import status
from rlgen_k8s.runners.argo.changes import tell
from rlgen_k8s.runners.states import Phase, TaskState


class Told:
    """A view that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def event(self, task, what):
        self.lines.append(f"{task}: {what}")

    def failure(self, task, message, last_lines):
        self.lines.append(f"{task}: FAILED {message}; {last_lines}")

    def update(self, states):
        raise AssertionError("only the watch does that")


def changes(before, after):
    told = Told()
    tell({task.name: task for task in before}, after, "tiny-1", told)
    return told.lines


def test_a_stopped_workflow_is_read_as_its_tasks_and_its_exit_handler(recorded):
    mirror, base, handler = status.states(recorded("stopped"))
    assert (mirror.name, mirror.phase, mirror.attempts, mirror.exit_code) == ("mirror", Phase.SUCCEEDED, 1, 0)
    assert (mirror.done, mirror.total, mirror.message) == (16, 16, "")
    assert mirror.finished - mirror.started == mirror.seconds > 0
    assert (base.phase, base.attempts) == (Phase.FAILED, 2)
    assert "shutdown" in base.message
    assert (handler.name, handler.phase, handler.attempts, handler.message) == ("onExit", Phase.PENDING, 0, "")


def test_what_a_pod_used_too_much_of_is_said_with_the_setting_and_is_for_the_user_to_mend(recorded):
    workflow = recorded("stopped")
    (newest,) = (node for node in workflow["status"]["nodes"].values() if node["name"] == "tiny-3febe4c1.base(1)")
    newest["message"] = 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '
    assert status.states(workflow)[1].message == (
        'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi"; raise pods.model.disk'
    )
    assert status.states(workflow)[1].exit_code == 2
    newest["message"] = "main: OOMKilled (exit code 2): out of memory: stage model; raise pods.model.memory (killed)"
    assert status.states(workflow)[1].message.count("pods.model.memory") == 1


def test_the_attempts_of_a_task_come_oldest_first(recorded):
    names = [node["name"] for node in status.attempts(recorded("stopped"), "base")]
    assert names == ["tiny-3febe4c1.base(0)", "tiny-3febe4c1.base(1)"]


def test_a_workflow_that_nobody_has_seen_yet_has_pending_tasks(recorded):
    fresh = {**recorded("stopped"), "status": {}}
    assert [(task.name, task.phase) for task in status.states(fresh)] == [("mirror", "Pending"), ("base", "Pending")]


def test_the_nodes_of_a_large_workflow_are_unpacked(recorded):
    workflow = recorded("stopped")
    nodes = json.dumps(workflow["status"].pop("nodes")).encode()
    packed = base64.b64encode(gzip.compress(nodes)).decode()
    assert status.states({**workflow, "status": {"compressedNodes": packed}}) == status.states(recorded("stopped"))


def test_every_change_is_told_once():
    waiting = TaskState("sft")
    unschedulable = TaskState("sft", message="Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu")
    running = TaskState("sft", Phase.RUNNING, 1, started=0.0)
    between = TaskState("sft", Phase.PENDING, 1, finished=9.0, message="Error (exit code 75): the store is away")
    second = TaskState("sft", Phase.RUNNING, 2, started=10.0)
    done = TaskState("sft", Phase.SUCCEEDED, 2, started=10.0, finished=15.0)
    told = [
        line
        for before, after in [
            (waiting, waiting),
            (waiting, unschedulable),
            (unschedulable, unschedulable),
            (unschedulable, running),
            (running, between),
            (between, between),
            (between, second),
            (second, done),
            (done, done),
        ]
        for line in changes([before], [after])
    ]
    assert told == [
        "sft: waits: Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
        "sft: started",
        "sft: attempt 1 ended: Error (exit code 75): the store is away",
        "sft: started again (attempt 2)",
        "sft: done in 5 s",
    ]


def test_a_failure_is_told_with_its_message_and_where_the_log_is():
    failed = TaskState("sft", Phase.FAILED, 1, message="Error (exit code 2): setting sft.processes: 0")
    (line,) = changes([TaskState("sft", Phase.RUNNING, 1)], [failed])
    assert line == "sft: FAILED Error (exit code 2): setting sft.processes: 0; log: rlgen logs sft tiny-1"

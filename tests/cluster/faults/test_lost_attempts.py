"""Work that loses attempt after attempt, more of them than a stage may fail, and still makes its result."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlgen_k8s.study.settings import PodShape

pytestmark = pytest.mark.timeout(600)
STEPS, PATIENCE, SOON = 420, 0.3, 480
AGE = 12
"""Seconds: Argo makes a pod that is gone within its first ten again, in the same attempt, and says nothing of it."""
LOST = 5
"""Attempts that are taken from it; a stage may fail 4 times."""

# Which of the two depends on what Argo sees first: the container's end, or that there is no pod any more.
GONE = ("stopped by SIGTERM", "pod deleted")


@pytest.fixture(scope="module")
def work(counting):
    return counting(age=AGE, steps=STEPS, pause=0.25, shape=PodShape(cpu=0.1, memory=1, disk=1, patience=PATIENCE))


@pytest.fixture(scope="module")
def watched(cluster, work, tmp_path_factory):
    """What `rlgen watch` says from the start on: its exit code and its lines, once it has ended."""
    log = tmp_path_factory.mktemp("watch") / "log"
    with log.open("w") as stream:
        command = [Path(sys.executable).with_name("rlgen"), "watch", work.task.name]
        process = subprocess.Popen(command, env=cluster.environment, stdout=stream)
        yield lambda: (process.wait(60), log.read_text())
        process.kill()
        process.wait()


def test_given_work_when_its_processes_get_signal_9_then_a_new_attempt_goes_on(work, watched, when, then):
    when.killed(work.under_way())

    then.goes_on(work, "exit code 137")


def test_given_work_when_its_pod_gets_15_seconds_then_it_ends_itself_and_a_new_attempt_goes_on(work, when, then):
    when.deleted(work.pods[-1], grace=15)

    then.goes_on(work, *GONE)


def test_given_work_when_its_pod_is_evicted_then_a_new_attempt_goes_on(work, when, then):
    when.evicted(work.pods[-1])

    then.goes_on(work, *GONE)


def test_given_work_when_its_node_is_drained_then_it_waits_for_one_and_goes_on(cluster, work, when, then):
    def unschedulable(pod):
        return any(one.get("reason") == "Unschedulable" for one in pod["status"].get("conditions", ()))

    with when.drained(work.pods[-1]):
        cluster.wait_pods({"workflows.argoproj.io/workflow": work.task.name}, unschedulable)

    then.goes_on(work, *GONE)


def test_given_work_when_its_pod_is_gone_at_once_then_a_new_attempt_goes_on(work, when, then):
    when.deleted(work.pods[-1], grace=0)

    then.goes_on(work, *GONE)


def test_given_work_that_was_preempted_when_it_hangs_then_this_is_its_first_failure(work, when, then):
    when.hangs(work.pods[-1])

    then.goes_on(work, f"no progress for {PATIENCE:g} min (pods.counting.patience)")
    assert "failure 1 of 4" in work.messages()[-2]


def test_given_work_when_the_controller_is_killed_then_the_pod_stays_and_its_end_is_seen(work, when):
    before = len(work.messages())
    when.controller_killed()

    work.task.end(SOON)
    assert len(work.messages()) == before
    assert "published" in work.task.log(work.pods[-1])


def test_given_all_this_when_it_has_ended_then_the_result_is_whole_and_every_attempt_is_told(work, watched, then):
    work.task.end(SOON)
    then.counted(work, STEPS)
    then.tracked(work, *["KILLED"] * LOST, "FAILED", "FINISHED")
    code, said = watched()
    assert code == 0, said
    for attempt in range(2, LOST + 2):
        assert f"started again (attempt {attempt})" in said
    assert any(words in said for words in GONE), said

"""One training that loses attempt after attempt, more of them than a stage may fail, and still makes its model."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
LOST = 5
"""Attempts that the first tests of this file take from it."""


@pytest.fixture(scope="module")
def training(given, undisturbed):
    return given.training("pods.model.patience=0.75")


@pytest.fixture(scope="module")
def watched(cluster, training, tmp_path_factory):
    """What `rlgen watch` says from the start on: its exit code and its lines, once it has ended."""
    log = tmp_path_factory.mktemp("watch") / "log"
    with log.open("w") as stream:
        command = [Path(sys.executable).with_name("rlgen"), "watch", training.name]
        process = subprocess.Popen(command, env=cluster.environment, stdout=stream)
        yield lambda: (process.wait(60), log.read_text())
        process.kill()
        process.wait()


def test_given_a_training_when_its_processes_get_signal_9_then_a_new_attempt_goes_on(training, watched, when, then):
    when.killed(training.under_way())

    then.goes_on(training, saying="exit code 137")


def test_given_a_training_when_its_pod_gets_15_seconds_then_it_ends_itself_and_a_new_attempt_goes_on(
    training, when, then
):
    when.deleted(training.pods[-1], grace=15)

    then.goes_on(training, saying="pod deleted")


def test_given_a_training_when_its_pod_is_evicted_then_a_new_attempt_goes_on(training, when, then):
    when.evicted(training.pods[-1])

    then.goes_on(training, saying="pod deleted")


def test_given_a_training_when_its_node_is_drained_then_it_waits_for_one_and_goes_on(cluster, training, when, then):
    def unschedulable(pod):
        conditions = pod["status"].get("conditions", ())
        return any(one.get("reason") == "Unschedulable" for one in conditions)

    with when.drained(training.pods[-1]):
        cluster.wait_pods({"workflows.argoproj.io/workflow": training.name}, unschedulable)

    then.goes_on(training, saying="pod deleted")


def test_given_a_training_when_its_pod_is_gone_at_once_then_a_new_attempt_goes_on(training, when, then):
    when.deleted(training.pods[-1], grace=0)

    then.goes_on(training, saying="pod deleted")


def test_given_a_training_that_was_preempted_when_it_hangs_then_this_is_its_first_failure(training, when, then):
    when.hangs(training.pods[-1])

    then.goes_on(training, saying="no progress for 0.75 min (pods.model.patience)")
    assert "failure 1 of 4" in training.messages()[-2]


def test_given_a_training_when_the_controller_is_killed_then_the_pod_stays_and_its_end_is_seen(training, when):
    pod = training.pods[-1]
    when.controller_killed()

    training.end()
    assert len(training.messages()) == len(training.pods)
    assert "published" in training.log(pod)


def test_given_all_this_when_the_training_has_ended_then_its_model_is_what_an_undisturbed_one_makes(
    training, undisturbed, watched, then
):
    training.end()
    then.published_once(training)
    then.same_model(training, undisturbed())
    then.tracked(training, *["KILLED"] * LOST, "FAILED", "FINISHED")
    code, said = watched()
    assert code == 0, said
    for attempt in range(2, LOST + 3):
        assert f"started again (attempt {attempt})" in said
    assert "attempt ended: pod deleted" in said


def test_given_an_undisturbed_training_then_it_took_one_attempt(undisturbed, then):
    training = undisturbed()
    then.published_once(training)
    then.tracked(training, "FINISHED")

"""What a stage that several pods run can rely on, whatever happens to its launcher, to its JobSet or to Kubernetes."""

import os
import signal

import pytest
from tests.unit.gang.conftest import ADDRESS, NAME, jobset, owner, pod, workload

from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.gang import launcher
from rlgen_k8s.runners.gang.launcher import launch
from rlgen_k8s.stages.frame import outage
from rlgen_k8s.stages.frame.budget import spend
from rlgen_k8s.stages.frame.ending import TerminatedError, raise_on_signals

ENVIRON = {"RLGEN_SUBMISSION": "tiny-20260131-120000"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Tries again at once."""
    monkeypatch.setattr(outage.time, "sleep", lambda seconds: None)


@pytest.fixture
def run(cluster, store, tmp_path):
    return lambda: launch(cluster, jobset(), ADDRESS, store, tmp_path / "progress", ENVIRON)


def test_it_makes_the_jobset_and_ends_as_that_does(api, run):
    api.script = [api.admit, lambda: api.end("Completed", pod(0, 0), pod(1, 0))]
    assert run() == (0, "")
    assert api.made == [jobset()]
    assert api.removed == 0


def test_a_result_that_is_there_needs_no_jobset(store, tmp_path):
    from rlgen_k8s.store.manifest import Identity

    identity = Identity(stage="sft", version=1, settings={}, inputs={})
    attempt = store.open_attempt(identity.address, tmp_path)
    (attempt.out / "file").write_text("made")
    store.publish(attempt, identity)
    assert launch(None, jobset(), identity.address, store, None, ENVIRON) == (0, "")


def test_a_jobset_of_a_launcher_that_was_killed_is_adopted(api, run, capsys):
    api.jobset = jobset()
    api.script = [api.admit, lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    assert api.made == []
    assert f"JobSet {NAME}: adopted" in capsys.readouterr().out


def test_a_jobset_of_another_workflow_is_shared_and_owned_by_both(api, run):
    api.jobset = jobset("theirs")
    api.script = [api.admit, lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    assert api.jobset["metadata"]["ownerReferences"] == [owner("theirs"), owner("ours")]


def test_an_end_that_nobody_was_told_of_is_told_now(api, run):
    api.jobset = jobset()
    api.end("Failed", pod(0, 2, said="setting sft.template: unknown"))
    assert run() == (2, "node 0: exit code 2 after 3600 s: setting sft.template: unknown")


def test_an_end_that_another_workflow_was_told_of_is_not_taken_for_ours(api, run):
    api.jobset = jobset("theirs")
    api.end("Failed", pod(0, 2))
    api.script = [lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    assert api.made == [jobset()]


def test_a_webhook_that_is_down_delays_the_jobset(api, run):
    api.refusals["POST"] = [500, 503]
    api.script = [lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    assert len(api.made) == 1


def test_a_jobset_that_the_api_server_refuses_is_the_user_s_to_mend(api, run):
    api.refusals["POST"] = [422]
    with pytest.raises(UserError, match="422"):
        run()


def test_an_api_server_that_is_away_for_a_while_changes_nothing(api, run, monkeypatch, capsys):
    monkeypatch.setattr("rlgen_k8s.runners.argo.observe.PAUSE_SECONDS", 0.0)
    api.refusals["WATCH"] = [503] * 5
    api.script = [api.admit, lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    assert capsys.readouterr().out.count("Kubernetes is away") == 1


def test_told_to_stop_it_leaves_nothing_that_holds_quota(api, run):
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    raise_on_signals()
    api.script = [api.admit, lambda: os.kill(os.getpid(), signal.SIGTERM)]
    try:
        with pytest.raises(TerminatedError, match="stopped by SIGTERM"):
            run()
    finally:
        for signum, action in before.items():
            signal.signal(signum, action)
    assert (api.jobset, api.removed) == (None, 1)


@pytest.mark.parametrize(("before", "code", "words"), [(0, 75, "failure 1 of 4"), (3, 2, "failure 4 of 4: given up")])
def test_a_jobset_that_somebody_deletes_is_tried_again_and_not_for_ever(api, run, store, before, code, words):
    for attempt in range(before):
        spend(store, ADDRESS, str(attempt), "a pod was lost", ENVIRON)
    api.script = [api.admit, api.vanish]
    ended, said = run()
    assert ended == code
    assert "deleted before its end" in said and words in said


def test_while_it_waits_for_quota_it_says_why_once(api, run, capsys):
    api.workloads = [workload("couldn't assign flavors to pod set node:\n 2 more needed")]
    api.script = [api.wait_for_a_look, api.wait_for_a_look, api.admit, lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if line.startswith("waits") or line == "admitted"]
    assert said == ["waits for quota: couldn't assign flavors to pod set node: 2 more needed", "admitted"]


def test_quota_that_can_never_be_enough_is_said_after_a_limit(api, run, monkeypatch):
    monkeypatch.setattr(launcher, "HOPELESS_LOOKS", 3)
    api.workloads = [workload("insufficient quota for cpu in flavor a, (0) + (9) > maximum capacity (4)")]
    with pytest.raises(UserError, match=r"can never be admitted.*maximum capacity"):
        run()
    assert (api.jobset, api.removed) == (None, 1)


def test_the_first_pod_s_log_and_progress_are_the_launcher_s(api, run, capsys, tmp_path):
    api.log = "2026-01-31T12:00:00.1Z loss 0.5\n2026-01-31T12:00:00.2Z progress: 3/10\n"
    api.script = [api.admit, lambda: api.end("Completed", pod(0, 0))]
    assert run() == (0, "")
    assert "loss 0.5" in capsys.readouterr().out.splitlines()
    assert (tmp_path / "progress").read_text() == "3/10\n"


def test_what_its_pods_took_is_told(api, run, capsys):
    api.script = [api.admit, lambda: api.end("Completed", pod(0, 0), pod(1, 0))]
    run()
    assert f"{2 * 8 * 3600} GPU-seconds" in capsys.readouterr().out

"""The process above a stage's: hangs, kills, stops, and the failures that a submission may have."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.errors import TryAgainError
from rlgen_k8s.stages.frame.memory import oom_kills
from rlgen_k8s.stages.frame.outage import patiently
from rlgen_k8s.stages.frame.run import verdict
from rlgen_k8s.stages.frame.watch import TICK_SECONDS, Ended
from rlgen_k8s.tracking.events import Finished, StageOpened
from rlgen_k8s.tracking.places import spool_folder
from rlgen_k8s.tracking.spool import read, writers


def wait_for(process: Any, said: str) -> str:
    while said not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    return str(line)


def stage_process(process: Any) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


@pytest.mark.parametrize("how", ["hang", "stuck"])
def test_a_stage_that_does_not_get_on_is_ended_and_may_be_tried_again(pod: Any, how: str) -> None:
    pod.environ = {"RLGEN_PATIENCE": "0.05"}
    process = pod.start(pod.arguments(ending=how, helper=True))
    helper = int(wait_for(process, "helper").split()[1])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "no progress for 0.05 min (pods.counting.patience)" in err
    assert "counting/run.py" in err, "the stack of where it hung"
    assert not Path(f"/proc/{helper}").exists()


def test_a_stage_that_gets_on_slowly_is_left_alone(pod: Any) -> None:
    pod.environ = {"RLGEN_PATIENCE": "0.075"}
    done = pod.run(pod.arguments(pause=1.0))
    assert done.returncode == 0, done.stderr


def test_a_stage_whose_processes_stood_still_goes_on(pod: Any) -> None:
    process = pod.start(pod.arguments(steps=2, pause=2.0))
    wait_for(process, "going on from step 0")
    both = (process.pid, stage_process(process))
    for each in both:
        os.kill(each, signal.SIGSTOP)
    time.sleep(1.5 * TICK_SECONDS)
    for each in both:
        os.kill(each, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_a_stage_that_hears_nothing_is_gone_within_the_grace_period(pod: Any) -> None:
    process = pod.start(pod.arguments(ending="hang"))
    wait_for(process, "hanging")
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in err
    assert time.monotonic() - began < 15


def test_killed_alone_the_stage_leaves_nothing_and_its_end_is_told(pod: Any) -> None:
    pod.environ = {"RLGEN_SUBMISSION": "small-1-1", "RLGEN_GPUS": "2"}
    process = pod.start(pod.arguments(pause=0.2, steps=1000, helper=True))
    helper = int(wait_for(process, "helper").split()[1])
    os.kill(stage_process(process), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 137
    assert not Path(f"/proc/{helper}").exists()
    folder = spool_folder({"RLGEN_HOME": str(pod.root / "home")})
    (writer,) = writers(folder)
    events = [event for event, _ in read(folder, writer)]
    opened, finished = events[0], events[-1]
    assert isinstance(opened, StageOpened)
    assert isinstance(finished, Finished)
    assert finished.status == "killed"
    assert finished.metrics["gpu_seconds"] == 2 * finished.metrics["duration_seconds"] > 0


def test_four_failures_of_a_submission_are_enough_and_stops_are_none(pod: Any) -> None:
    pod.environ = {"RLGEN_SUBMISSION": "small-1-1"}
    arguments = pod.arguments(ending="try-again", pause=0.05)
    failures = f"counting/{pod.key(ending='try-again', pause=0.05)}/failures/small-1-1"
    codes = [pod.run(arguments).returncode for _ in range(2)]
    stopped = pod.start(arguments)
    wait_for(stopped, "going on")
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate(timeout=60)
    assert stopped.returncode == 143
    assert len(pod.store.blobs.children(failures)) == 2
    third, last = pod.run(arguments), pod.run(arguments)
    assert [*codes, third.returncode, last.returncode] == [75, 75, 75, 2]
    assert third.stderr.endswith("the hub did not answer (failure 3 of 4)\n")
    assert "failure 4 of 4: given up" in last.stderr
    assert pod.run(arguments).returncode == 75, "who submits again has a whole budget"
    pod.environ = {"RLGEN_SUBMISSION": "small-2-2"}
    assert "failure 1 of 4" in pod.run(arguments).stderr


def test_failures_are_forgotten_once_the_result_is_there(pod: Any) -> None:
    pod.store.blobs.put_new(f"counting/{pod.key()}/failures/small-1-1/ab", b"{}")
    assert pod.run(pod.arguments()).returncode == 0
    assert "failures" not in pod.store.blobs.children(f"counting/{pod.key()}")


def test_a_home_that_cannot_be_written_costs_the_tracking_only(pod: Any) -> None:
    (pod.root / "file").touch()
    pod.environ = {"RLGEN_SUBMISSION": "small-1-1", "RLGEN_HOME": str(pod.root / "file")}
    done = pod.run(pod.arguments())
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("tracking is off: ")
    assert pod.store.manifest(f"counting/{pod.key()}") is not None


def test_what_a_person_looks_at_is_copied_when_made_and_when_found(pod: Any) -> None:
    for name in ("made", "found"):
        pod.environ = {"RLGEN_ARTIFACTS": str(pod.root / name)}
        assert pod.run(pod.arguments()).returncode == 0
        assert [path.name for path in (pod.root / name).iterdir()] == ["lines"]


def test_want_of_memory_is_said_and_never_tried_again(tmp_path: Path) -> None:
    v1, v2 = tmp_path / "memory.oom_control", tmp_path / "memory.events"
    v1.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    v2.write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n")
    assert (oom_kills((v1,)), oom_kills((v2,)), oom_kills((tmp_path / "none",))) == (3, 2, 0)
    trainer_killed = Ended(code=137, hung=False, stopped=None)
    code, said = verdict(trainer_killed, "trainer was ended by SIGKILL", "grpo", {"RLGEN_MEMORY": "8"}, kills=1)
    assert code == 2
    assert said.startswith("out of memory: stage grpo used more than its 8 GiB; raise pods.grpo.memory")
    assert verdict(trainer_killed, "", "grpo", {}, kills=0) == (137, "")
    stopped = Ended(code=0, hung=False, stopped=signal.SIGTERM)
    assert verdict(stopped, "", "grpo", {}, kills=0)[0] == 0, "it was done before it was stopped"


def test_work_outlives_a_store_that_is_away_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    tries, beats = [], []

    def action() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise TryAgainError("store s3://x: not reachable")
        return 7

    assert patiently(action, lambda: beats.append(1)) == 7
    assert len(beats) == 3
    assert capsys.readouterr().err.count("trying again in") == 2
    tries.clear()
    with pytest.raises(TryAgainError):
        patiently(action, lambda: None, seconds=0.5)

"""The process above a stage's: hangs, kills, stops, and the failures that a submission may have."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from rlgen_k8s.errors import TryAgainError
from rlgen_k8s.stages.frame.memory import oom_kills
from rlgen_k8s.stages.frame.outage import patiently
from rlgen_k8s.stages.frame.run import verdict
from rlgen_k8s.stages.frame.watch import TICK_SECONDS, Ended
from rlgen_k8s.tracking.beside import LAST_SECONDS
from rlgen_k8s.tracking.events import Finished, StageOpened
from rlgen_k8s.tracking.places import spool_folder
from rlgen_k8s.tracking.spool import read, writers


def wait_for(process: Any, said: str) -> str:
    while said not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    return str(line)


def children(process: Any) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


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
    both = (process.pid, children(process)[0])
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


@pytest.fixture
def deaf_mlflow() -> Iterator[str]:
    """A server that takes every connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(100)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_stage_that_ends_before_the_process_above_it_heard_the_signal_was_stopped(pod: Any, deaf_mlflow: str) -> None:
    """Argo's executor signals the whole process group; on a busy machine either may be the first to act."""
    pod.environ = {"RLGEN_SUBMISSION": "small-1-1", "RLGEN_POD": "pod", "MLFLOW_TRACKING_URI": deaf_mlflow}
    process = pod.start(pod.arguments(pause=0.05, steps=1000), start_new_session=True)
    wait_for(process, "going on from step 0")
    stage = max(children(process))
    os.kill(process.pid, signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + 30
    while state(stage) != "Z":
        assert time.monotonic() < until
    os.kill(process.pid, signal.SIGCONT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in err
    assert time.monotonic() - began < LAST_SECONDS / 2, "it does not wait for MLflow as one that has time"


def test_told_to_stop_after_its_result_was_published_it_does_not_wait_for_mlflow(pod: Any, deaf_mlflow: str) -> None:
    pod.environ = {"RLGEN_SUBMISSION": "small-1-1", "RLGEN_POD": "pod", "MLFLOW_TRACKING_URI": deaf_mlflow}
    process = pod.start(pod.arguments())
    wait_for(process, "published")
    while len(children(process)) > 1:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert time.monotonic() - began < LAST_SECONDS / 2


def test_told_to_stop_a_process_ends_in_time_whatever_it_waits_for() -> None:
    script = """
        import time
        from rlgen_k8s.stages.frame import watch
        from rlgen_k8s.stages.frame.lifeline import Lifeline
        watch.END_SECONDS = 0.5
        watch.watch(lambda: time.sleep(60), Lifeline(), 60.0)
        print("a store that never answers", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", dedent(script)], stdout=subprocess.PIPE, text=True)
    while not children(process):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert out == "a store that never answers\n"


def test_killed_alone_the_stage_leaves_nothing_and_its_end_is_told(pod: Any) -> None:
    pod.environ = {"RLGEN_SUBMISSION": "small-1-1", "RLGEN_GPUS": "2"}
    process = pod.start(pod.arguments(pause=0.2, steps=1000, helper=True))
    helper = int(wait_for(process, "helper").split()[1])
    os.kill(children(process)[0], signal.SIGKILL)
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


def test_what_was_over_before_the_stop_ends_as_it_did_and_all_else_is_tried_again() -> None:
    def told(code: int, words: str) -> tuple[int, str]:
        return verdict(Ended(code, hung=False, stopped=signal.SIGTERM), words, "grpo", {}, kills=0)

    assert told(0, "") == (0, "")
    assert told(2, "column answer is missing") == (2, "column answer is missing")
    assert told(143, "stopped by SIGTERM") == (143, "stopped by SIGTERM")
    assert told(137, "") == (143, "stopped by SIGTERM")
    assert told(75, "the store is away") == (143, "stopped by SIGTERM; the store is away")


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

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.alive import running

from rlgen_k8s.processes.child import ChildError, run_child

FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.{on_term})
sleeper = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.{on_term}); time.sleep(60)"]
worker = subprocess.Popen(sleeper)
daemon = subprocess.Popen(sleeper, start_new_session=True)
open("pids.tmp", "w").write(f"{{os.getpid()}} {{worker.pid}} {{daemon.pid}}")
os.rename("pids.tmp", "pids")
print("started", flush=True)
{then}
"""
STAGE = """
import os, signal, sys
from pathlib import Path
from rlgen_k8s.processes.child import run_child
# A shell starts background jobs, and so perhaps these tests, with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
run_child([sys.executable, "family.py"], name="family", env=os.environ, cwd=Path.cwd(), grace={grace})
"""


def family(folder: Path, *, on_term: str = "SIG_DFL", then: str = "time.sleep(60)") -> None:
    (folder / "family.py").write_text(FAMILY.format(on_term=on_term, then=then))


def wait_until(condition: object, seconds: float = 15.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def stage_with_family(folder: Path, *, grace: float = 5.0) -> tuple["subprocess.Popen[str]", list[int]]:
    """A stage process in `folder` whose trainer has a worker and a daemon; the ids of these three."""
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE.format(grace=grace)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert wait_until((folder / "pids").exists)
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) == 3
    assert all(running(pid) for pid in pids)
    return stage, pids


def test_output_of_both_streams_is_passed_on_line_by_line(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    script = "import sys; print('out'); sys.stdout.flush(); print('10%\\r20%\\r', end='', file=sys.stderr); print('é')"
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    run_child([sys.executable, "-c", script], name="talker", env=env, on_line=lines.append)
    assert lines == ["out", "10%", "20%", "é"]
    assert capfd.readouterr().out.splitlines() == lines


def test_the_child_gets_exactly_the_environment_and_folder_it_was_given(tmp_path: Path) -> None:
    lines: list[str] = []
    env = {"PATH": os.environ["PATH"], "ONLY": "this"}
    run_child(
        ["sh", "-c", 'echo "$ONLY"; pwd; env | cut -d= -f1'], name="env", env=env, cwd=tmp_path, on_line=lines.append
    )
    assert lines[:2] == ["this", str(tmp_path)]
    assert set(lines[2:]) <= {"PATH", "ONLY", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}


def test_a_failing_child_is_named_with_its_exit_code_and_last_lines() -> None:
    with pytest.raises(ChildError) as failure:
        run_child(["sh", "-c", "seq 100; echo broken pipe dream >&2; exit 3"], name="the trainer", env=os.environ)
    message = str(failure.value)
    assert "the trainer failed (exit code 3)" in message
    assert message.endswith("broken pipe dream")
    assert "\n100\n" in message
    assert "\n50\n" not in message
    assert (failure.value.returncode, failure.value.exit_code) == (3, 1)


def test_a_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(ChildError, match="no-such-trainer"):
        run_child(["no-such-trainer"], name="ghost", env=os.environ)


def test_a_child_killed_from_outside_tells_the_retry_rule_so() -> None:
    with pytest.raises(ChildError, match="SIGKILL") as failure:
        run_child(["sh", "-c", "kill -9 $$"], name="victim", env=os.environ)
    assert failure.value.exit_code == 137


def test_an_odd_exit_code_above_128_is_not_read_as_a_signal() -> None:
    with pytest.raises(ChildError, match="exit code 255") as failure:
        run_child(["sh", "-c", "exit 255"], name="odd", env=os.environ)
    assert failure.value.exit_code == 1


def test_ticks_come_while_the_child_is_silent_and_once_at_the_end(tmp_path: Path) -> None:
    ticks: list[bool] = []
    ended = tmp_path / "ended"
    run_child(
        ["sh", "-c", f"sleep 0.5; touch {ended}"],
        name="silent",
        env=os.environ,
        on_tick=lambda: ticks.append(ended.exists()),
        tick=0.1,
    )
    assert ticks.count(False) >= 3
    assert ticks[-1] is True


def test_a_daemon_left_behind_by_a_finished_child_is_ended(tmp_path: Path) -> None:
    family(tmp_path, then="os._exit(0)")
    run_child([sys.executable, "family.py"], name="family", env=os.environ, cwd=tmp_path)
    assert not any(running(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_callback_that_raises_stops_the_whole_family(tmp_path: Path) -> None:
    family(tmp_path)

    def refuse(line: str) -> None:
        raise OSError(f"store is full after {line}")

    with pytest.raises(OSError, match="store is full after started"):
        run_child([sys.executable, "family.py"], name="family", env=os.environ, cwd=tmp_path, on_line=refuse)
    assert not any(running(int(pid)) for pid in (tmp_path / "pids").read_text().split())


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_to_the_stage_ends_the_family_and_then_the_stage(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    family(tmp_path)
    stage, pids = stage_with_family(tmp_path)
    stage.send_signal(signum)
    assert stage.wait(15) == code
    assert not any(running(pid) for pid in pids)


def test_a_child_that_is_asked_to_stop_may_tidy_up_first(tmp_path: Path) -> None:
    tidy = "signal.signal(signal.SIGTERM, lambda *_: (open('tidy', 'w').close(), sys.exit(0)))\ntime.sleep(60)"
    family(tmp_path, then=tidy)
    stage, pids = stage_with_family(tmp_path)
    time.sleep(0.2)  # until the handler stands
    stage.terminate()
    assert stage.wait(15) == -signal.SIGTERM
    assert (tmp_path / "tidy").exists()
    assert not any(running(pid) for pid in pids)


def test_a_family_deaf_to_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    family(tmp_path, on_term="SIG_IGN")
    stage, pids = stage_with_family(tmp_path, grace=0.5)
    started = time.monotonic()
    stage.terminate()
    assert stage.wait(15) == -signal.SIGTERM
    assert 0.4 < time.monotonic() - started < 10
    assert not any(running(pid) for pid in pids)


@pytest.mark.parametrize("on_term", ["SIG_DFL", "SIG_IGN"])
def test_kill_9_of_the_stage_leaves_no_process_behind(tmp_path: Path, on_term: str) -> None:
    family(tmp_path, on_term=on_term)
    stage, pids = stage_with_family(tmp_path, grace=0.5)
    guard = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    stage.kill()
    stage.wait(15)
    assert wait_until(lambda: not any(running(pid) for pid in [*pids, guard]))


def test_a_kill_9_of_the_stage_with_its_group_leaves_no_process_behind(tmp_path: Path) -> None:
    family(tmp_path)
    script = tmp_path / "stage.py"
    script.write_text(STAGE.format(grace=0.5))
    stage = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, start_new_session=True)
    assert wait_until((tmp_path / "pids").exists)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait(15)
    assert wait_until(lambda: not any(running(pid) for pid in pids))

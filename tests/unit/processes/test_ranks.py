"""Several processes that do one job: what they ask is answered here, and they end together."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.alive import running

from rlgen_k8s.errors import UserError
from rlgen_k8s.processes.child import ChildError
from rlgen_k8s.processes.ranks import run_ranks

HERE = Path(__file__).parent
ENV = {**os.environ, "PYTHONPATH": str(HERE)}
OWNER = """
import os, signal, sys
import jobs
from rlgen_k8s.processes.ranks import run_ranks

def stop(signum, frame):
    raise SystemExit(128 + signum)

signal.signal(signal.SIGTERM, stop)
asked = []
def answer(rank):
    asked.append(rank)
    if len(asked) == 2:
        print("all there", flush=True)
run_ranks(jobs.wait_for_ever, [sys.argv[1]], 2, name="job", env=os.environ, answer=answer)
"""


@pytest.fixture
def jobs(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import jobs

    return jobs


def processes(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in folder.glob("*.pid")]


def test_questions_of_all_ranks_are_answered_here(jobs):
    asked = []

    def answer(question):
        asked.append(question)
        return 2 * question[1]

    run_ranks(jobs.add_up, [5], 3, name="job", env=ENV, answer=answer)
    assert sorted(asked) == [(rank, number) for rank in range(3) for number in (5, 6, 7)]
    for rank in range(3):
        assert [number for by, number in asked if by == rank] == [5, 6, 7]


@pytest.mark.parametrize(
    ("job", "error", "words"),
    [
        ("refuse", UserError, "^setting x: 3, expected 4; set it to 4$"),
        ("break_down", ChildError, r"(?s)^job, process 1 of 3, failed \(exit code 1\).*ZeroDivisionError: told to"),
    ],
)
def test_one_that_fails_ends_all_with_its_error(jobs, tmp_path, job, error, words):
    waiting = []

    def answer(said):
        if said != "go on?":
            waiting.append(said)
        return len(waiting) == 2

    with pytest.raises(error, match=words):
        run_ranks(getattr(jobs, job), [str(tmp_path)], 3, name="job", env=ENV, answer=answer)
    assert len(processes(tmp_path)) == 2
    assert not any(map(running, processes(tmp_path)))


def test_of_a_kill_and_what_follows_from_it_the_kill_is_told(jobs):
    killed = []

    def answer(process):
        if process:
            killed.append(process)
        return killed[0] if killed else None

    with pytest.raises(ChildError, match=r"^job, process 2 of 3, was ended by SIGKILL \(exit code 137\)") as raised:
        run_ranks(jobs.be_killed, [], 3, name="job", env=ENV, answer=answer)
    assert raised.value.exit_code == 137


def test_an_answer_that_fails_ends_all(jobs, tmp_path):
    asked = []

    def answer(rank):
        asked.append(rank)
        if len(asked) == 2:
            raise KeyError("no answer")

    with pytest.raises(KeyError, match="no answer"):
        run_ranks(jobs.wait_for_ever, [str(tmp_path)], 2, name="job", env=ENV, answer=answer)
    assert len(processes(tmp_path)) == 2
    assert not any(map(running, processes(tmp_path)))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_no_rank_outlives_an_owner_that_is_stopped(tmp_path, signum):
    argv = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "all there\n"
        ranks = processes(tmp_path)
        assert len(ranks) == 2
        ends = [os.pidfd_open(rank) for rank in ranks]
        assert not select.select(ends, [], [], 0)[0]
        owner.send_signal(signum)
    assert owner.returncode == (143 if signum == signal.SIGTERM else -9)
    for end in ends:
        assert select.select([end], [], [], 10)[0], "a rank still runs"
        os.close(end)

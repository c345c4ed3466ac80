"""What ranks do in test_ranks: functions that a process of its own can import."""

import os
import select
import signal
from pathlib import Path

from rlgen_k8s.errors import UserError


def add_up(rank, ask, start):
    for number in range(3):
        assert ask((rank, start + number)) == 2 * (start + number)


def wait_for_ever(rank, ask, folder):
    (Path(folder) / f"{rank}.pid").write_text(str(os.getpid()))
    ask(rank)
    signal.pause()


def others_wait(rank, ask, folder):
    """Rank 0 goes on when all others are there."""
    if rank:
        wait_for_ever(rank, ask, folder)
    while not ask("go on?"):
        pass


def refuse(rank, ask, folder):
    others_wait(rank, ask, folder)
    raise UserError("setting x: 3, expected 4; set it to 4")


def break_down(rank, ask, folder):
    others_wait(rank, ask, folder)
    raise ZeroDivisionError("told to")


def be_killed(rank, ask):
    """Rank 1 is; the others fail for want of it, as peers in a collective do."""
    if rank == 1:
        ask(os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)
    while (victim := ask(None)) is None:
        pass
    select.select([os.pidfd_open(victim)], [], [])
    raise ConnectionError("connection closed by peer")

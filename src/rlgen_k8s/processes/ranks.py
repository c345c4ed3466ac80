"""One job done by several processes, one a device. They end together: whichever fails, all do, with its error."""

import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.processes.child import TAIL_LINES, ChildError

GRACE_SECONDS = 5.0
"""From SIGTERM to SIGKILL."""

Ask = Callable[[Any], Any]


@dataclass(frozen=True)
class Failure:
    """What a rank says before it ends for an exception."""

    at: float
    """Of the clock that all processes of a machine share: others fail after it, for want of it."""
    error: UserError | TryAgainError | None
    """The exception, if it means something to whoever reads it here."""
    trace: str


@dataclass
class _Rank:
    number: int
    process: subprocess.Popen[bytes]
    line: Connection
    failure: Failure | None = None


def run_ranks(
    work: Callable[..., None],
    arguments: Sequence[Any],
    count: int,
    *,
    name: str,
    env: Mapping[str, str],
    answer: Ask,
) -> None:
    """Run `work(rank, ask, *arguments)` in `count` processes of their own, rank 0 … count − 1, to their end.

    To be called from the main thread. `work` is a module's function; it, its arguments and what is asked travel by
    pickle. `ask(question)` in a rank waits for `answer(question)`, which is called here: what belongs to this process
    stays in it. The ranks' output is ours, their environment exactly `env`.

    When one of them fails, when `answer` raises and when a signal's handler does, all others get SIGTERM, and SIGKILL
    after `GRACE_SECONDS`; killed with -9, this process takes them with it. Raises the `UserError` or `TryAgainError`
    of the rank that failed first, else `ChildError` with the end of its traceback.
    """
    ranks: list[_Rank] = []
    try:
        for number in range(count):
            ranks.append(_start(number, env))
            ranks[-1].line.send_bytes(pickle.dumps((work, number, arguments)))
        if _serve(ranks, answer):
            return
    finally:
        _end(ranks)
    raise _cause(ranks, name)


def _start(number: int, env: Mapping[str, str]) -> _Rank:
    ours, theirs = socket.socketpair()
    with theirs:
        argv = [sys.executable, "-m", "rlgen_k8s.processes.rank", str(theirs.fileno())]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=dict(env), pass_fds=[theirs.fileno()])
    return _Rank(number, process, Connection(ours.detach()))


def _serve(ranks: Sequence[_Rank], answer: Ask) -> bool:
    """Answer questions until all ranks have ended; False as soon as one of them has failed."""
    talking = {rank.line: rank for rank in ranks}
    while talking:
        for line in wait(list(talking)):
            assert isinstance(line, Connection)
            rank = talking[line]
            try:
                said = line.recv()
            except (EOFError, ConnectionError):
                del talking[line]
                if rank.process.wait():
                    return False
                continue
            if isinstance(said, Failure):
                rank.failure = said
                return False
            reply = answer(said)
            with suppress(ConnectionError):  # it ended meanwhile, which is seen above
                line.send(reply)
    return True


def _end(ranks: Sequence[_Rank]) -> None:
    """Whatever still runs is ended; what it said before is heard."""
    for rank in ranks:
        rank.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for rank in ranks:
        try:
            rank.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rank.process.kill()
            rank.process.wait()
        with suppress(EOFError, ConnectionError):
            while rank.failure is None and rank.line.poll():
                said = rank.line.recv()
                rank.failure = said if isinstance(said, Failure) else None
        rank.line.close()


def _cause(ranks: Sequence[_Rank], name: str) -> Exception:
    """Of several ends the one that came first: a kill leaves no words, and the others fail for want of it."""

    def order(rank: _Rank) -> tuple[bool, bool, float]:
        killed = rank.process.returncode < 0 and rank.process.returncode != -signal.SIGTERM
        return not killed, rank.failure is None, rank.failure.at if rank.failure else 0.0

    first = min((rank for rank in ranks if rank.process.returncode), key=order)
    failure = first.failure
    code = 1 if failure else first.process.returncode  # who spoke of an exception may have been ended meanwhile
    if failure and failure.error:
        return failure.error
    tail = failure.trace.splitlines()[-TAIL_LINES:] if failure else []
    return ChildError(f"{name}, process {first.number + 1} of {len(ranks)},", code if code >= 0 else 128 - code, tail)

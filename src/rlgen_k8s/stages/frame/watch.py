"""The process above a stage's: ends it when it hangs or when it is told to stop, and survives it whatever happens.

The stage runs in a fork, so that this process stays small, imports nothing heavy and never waits for native code.
"""

import ctypes
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from rlgen_k8s.stages.frame.ending import GRACE_SECONDS, leave_message, stop_descendants, stopped_by
from rlgen_k8s.stages.frame.lifeline import Lifeline

TICK_SECONDS = 1.0
STOP_SECONDS = 8.0
"""From SIGTERM to SIGKILL for the stage: more than a trainer gets (6 s)."""
END_SECONDS = 12.0
"""From SIGTERM to this process's own end, whatever it waits for then. Of a grace of 15 s, Argo's executor takes up to
2 s to pass the signal on and to see the end."""
HUNG_SECONDS = 5.0
"""From SIGTERM to SIGKILL for a stage that hangs, which will hardly use them."""
STOPS = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (signal.SIGCHLD, *STOPS)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Ended:
    """How the stage's process ended."""

    code: int
    """Its exit code; 128 + n after signal n."""
    hung: bool
    """Whether it was ended because it did not get on."""
    stopped: int | None
    """The signal that told us to stop."""


def watch(stage: Callable[[], int], line: Lifeline, patience: float, ours: Collection[int] = ()) -> Ended:
    """Run `stage` in a process of its own, which returns the exit code, and see to its end.

    It is ended once `line` has been silent for `patience` seconds. Nothing that it started is left, but the processes
    `ours`. From now on SIGTERM and SIGINT only count here and in `told_to_stop`.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _run(stage, parent)
    stopped: int | None = None
    hung, kill_at = False, float("inf")
    while True:
        received = signal.sigtimedwait(SIGNALS, min(TICK_SECONDS, patience / 10))
        now = time.monotonic()
        # Before the stage's end is looked at: Argo's executor signals the whole process group, and the stage may be the
        # faster one. Named, as Python makes up a signal when this process stood still (SIGSTOP) for longer than a tick.
        if received and received.si_signo in STOPS and stopped is None:
            stopped, kill_at = received.si_signo, min(kill_at, now + STOP_SECONDS)
            leave_message(stopped_by(stopped))
            _end_after(END_SECONDS, 128 + stopped)
            os.kill(child, stopped)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if not hung and stopped is None and line.silent > patience:
            hung, kill_at = True, now + HUNG_SECONDS
            os.kill(child, signal.SIGUSR1)  # its stacks, see `_run`
            os.kill(child, signal.SIGTERM)
        if now > kill_at:
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    stop_descendants(ours, grace=min(GRACE_SECONDS, max(0.5, kill_at - now)))
    _reap()
    return Ended(128 - code if code < 0 else code, hung, stopped)


def told_to_stop() -> bool:
    """Whether SIGTERM or SIGINT came after `watch`, which leaves them blocked."""
    return not signal.sigpending().isdisjoint(STOPS)


def _end_after(seconds: float, code: int) -> None:
    """Leave with this exit code then, if this process has not ended before."""

    def leave(_signum: int, _frame: FrameType | None) -> None:
        os._exit(code)

    signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _run(stage: Callable[[], int], parent: int) -> None:
    """The stage's process, to its end."""
    code = 1
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        code = stage()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def _reap() -> None:
    """Orphans of the stage became children of this process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")

"""Runs one command and sees to it that nothing it started outlives this process's owner.

Started by `child.run_child` as `python -I -S guard.py GRACE_SECONDS COMMAND…`; its standard input is a pipe that only
the owner holds open. When the pipe closes (the owner is done with the command, or was killed with -9) the command's
process group gets SIGTERM, and after the grace period every descendant gets SIGKILL. Being a subreaper, the guard
also finds descendants that left the process group or lost their parent (daemons of Ray, workers of torchrun).
Only the standard library: it starts in milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Linux's `prctl`. Raises `OSError`."""
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _parents() -> dict[int, int]:
    """Parent by process id, of every process that still runs (zombies left out)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended between the listing and the reading
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    return parents


def descendants(root: int) -> list[int]:
    """Ids of all running processes below `root`."""
    parents = _parents()
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def _end_all(grace: float, signal_first: Callable[[], None]) -> None:
    """Ask with `signal_first`, wait up to `grace` seconds, then kill whatever is left until nothing is."""
    with suppress(ProcessLookupError):
        signal_first()
    deadline = time.monotonic() + grace
    while alive := descendants(os.getpid()):
        if time.monotonic() > deadline:
            for process in alive:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


def _terminate(processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)


def main(grace: float, command: list[str]) -> int:
    """Run `command` to its end or to the owner's; its exit code, or 128 + n if signal n ended it."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # no threads run yet
    )

    def stop() -> None:
        _end_all(grace, lambda: os.killpg(child.pid, signal.SIGTERM))

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=stop, daemon=True).start()

    def on_owner_gone() -> None:
        while os.read(0, 1):
            pass
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    threading.Thread(target=on_owner_gone, daemon=True).start()
    status = 0
    process = 0
    while process != child.pid:
        process, status = os.wait()  # adopted grandchildren are reaped here too
    threading.Thread(target=_reap, daemon=True).start()
    _end_all(min(grace, 2.0), lambda: _terminate(descendants(os.getpid())))
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _reap() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    # `os._exit`: `Popen` and the daemon threads have nothing left to do.
    os._exit(main(float(sys.argv[1]), sys.argv[2:]))

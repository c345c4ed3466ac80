"""How an attempt ends: signals, exit codes, and the line that Kubernetes keeps about it."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from rlgen_k8s.errors import UserError
from rlgen_k8s.processes.guard import descendants

TERMINATION_LOG = Path("/dev/termination-log")
"""Where Kubernetes reads a container's last words from."""
GRACE_SECONDS = 5.0
LEAST_ROOM = 2**20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def stopped_by(signum: int) -> str:
    """What is said of an attempt that was told to stop. Whether it is tried again may depend on these words."""
    return f"stopped by {signal.Signals(signum).name}"


class TerminatedError(BaseException):
    """SIGTERM or SIGINT came. No `Exception`, so that no library takes it for a failure to recover from."""

    def __init__(self, signum: int) -> None:
        super().__init__(stopped_by(signum))
        self.exit_code = 128 + signum


def raise_on_signals() -> None:
    """Make SIGTERM and SIGINT raise `TerminatedError` in the main thread; the first one counts."""

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise TerminatedError(signum)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_signal)


def stop_descendants(ours: Collection[int] = (), grace: float = GRACE_SECONDS) -> None:
    """End every process that the stage left running, `ours` excepted: SIGTERM, then SIGKILL after `grace` seconds."""
    deadline = time.monotonic() + grace
    asked: set[int] = set()
    while alive := set(descendants(os.getpid())).difference(ours):
        late = time.monotonic() > deadline
        for process in alive:
            if late or process not in asked:
                asked.add(process)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.02)


def no_room(error: Exception, folders: Sequence[Path], stage: str) -> UserError | None:
    """What to tell the user when a stage failed because nothing more can be written; None when it failed otherwise.

    A library may have turned the system's error into one of its own, so the disks of `folders` are looked at, too.
    """
    refused = isinstance(error, OSError) and error.errno in _NO_ROOM
    full = [str(folder) for folder in folders if shutil.disk_usage(folder).free < LEAST_ROOM]
    if not refused and not full:
        return None
    where = getattr(error, "filename", None) or " and ".join(full) or " or ".join(map(str, folders))
    reason = error.strerror if isinstance(error, OSError) and refused else "No space left on device"
    return UserError(
        f"folder {where}: {reason}; make room, set RLGEN_STORE or RLGEN_SCRATCH to another place, "
        f"or, in a pod, raise pods.{stage}.disk"
    )


def leave_message(text: str, log: Path = TERMINATION_LOG) -> None:
    """Keep one line where Kubernetes shows it (`kubectl describe pod`), if this is a container that has the place."""
    if log.is_file() and os.access(log, os.W_OK):
        log.write_text(text.partition("\n")[0][:1000] + "\n" if text else "")

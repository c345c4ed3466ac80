"""Stands in for one of Ray's worker processes: has it forked by `preload` and lives as long as it does.

Started by Ray, as its `py_executable`: `python -I -S worker.py SOCKET default_worker.py ARGUMENTS…`. The first one
starts `preload`. Only the standard library, so that it starts in milliseconds.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType


def main(address: str, arguments: list[str]) -> int:
    """Send `preload` our arguments, environment and standard streams; wait for the worker; its exit code."""
    connection = _connect(address)
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    socket.send_fds(connection, [b"\0"], [0, 1, 2])
    connection.sendall(json.dumps(request).encode() + b"\n")
    answers = connection.makefile()
    worker = int(answers.readline())

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker, signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, pass_on)
    return int(answers.readline() or 1)


def _connect(address: str) -> socket.socket:
    """A connection to `preload`, which is started if it does not run. Raises `RuntimeError` if it ends at once."""
    with Path(f"{address}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = socket.socket(socket.AF_UNIX)
        if connection.connect_ex(address) == 0:
            return connection
        preload = subprocess.Popen(
            [sys.executable, "-m", "rlgen_k8s.ray_fork.preload", address],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        while connection.connect_ex(address) != 0:
            if preload.poll() is not None:
                raise RuntimeError(f"the process that workers are forked from ended with code {preload.returncode}")
            time.sleep(0.02)
        return connection


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

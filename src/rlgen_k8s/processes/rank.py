"""One of several processes of a job: `python -m rlgen_k8s.processes.rank DESCRIPTOR`, started by `ranks.run_ranks`."""

import os
import pickle
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.processes.guard import PR_SET_PDEATHSIG, prctl
from rlgen_k8s.processes.ranks import Failure


def main(descriptor: int) -> int:
    """Do what the owner sends; the exit code."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    line = Connection(descriptor)

    def ask(question: Any) -> Any:
        line.send(question)
        return line.recv()

    try:
        work, number, arguments = pickle.loads(line.recv_bytes())
        work(number, ask, *arguments)
    except Exception as error:  # noqa: BLE001 (nothing is above: the owner is told, and the exit code is 1)
        traceback.print_exc()
        known = error if isinstance(error, UserError | TryAgainError) else None
        line.send(Failure(time.monotonic(), known, traceback.format_exc()))
        return 1
    return 0


if __name__ == "__main__":
    code = main(int(sys.argv[1]))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # `os._exit`: process groups and their threads have nothing left to do, and may wait for ranks that are gone.
    os._exit(code)

"""The process that Ray's workers are forked from: it has imported everything.

verl runs in nine processes, each of which would import the same for 7 s of CPU time: most of a tiny run. Forked, they
share one import and its memory. Ray's `py_executable` is the hook: instead of an interpreter it starts `worker`, which
asks this process over a Unix socket for a fork that becomes the worker.

Forked processes go on from this one's random state. Ray's own generator is not to be used here: workers would draw the
same ids, and of two that start at once one would end, as their first objects were one (`Seal() called on an object
without a reference to it`).
"""

import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray.actor
from ray import ActorClassID

PRELOADED = (
    "datasets",
    "math_verify",
    "rlgen_k8s.verl_cpu.replay_buffer",
    "rlgen_k8s.verl_cpu.replica",
    "transformers.models.auto.modeling_auto",
    "verl.experimental.agent_loop.single_turn_agent_loop",
    "verl.experimental.reward_loop.reward_manager.naive",
    "verl.trainer.main_ppo",
    "verl.trainer.ppo.v1",
    "verl.workers.engine_workers",
)
"""What the workers use. Ray reads its settings (the job, its daemon's id) from the environment when it is imported;
they are the same for all workers of one run, and `worker` gives this process those of the first."""


def main(address: str) -> None:
    """Import, then fork a worker for each connection to the Unix socket `address`, until this process is ended."""
    load(PRELOADED)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    serve(listener)()


def load(modules: Iterable[str]) -> None:
    """Import them. Ray's generator is left alone, which would draw an id for each class made a `ray.remote` one."""
    with patch.object(ray.actor, "ActorClassID", _ClassIds):
        for module in modules:
            importlib.import_module(module)


class _ClassIds:
    """Draws them from the system."""

    @staticmethod
    def from_random() -> Any:
        return ActorClassID(os.urandom(ActorClassID.size()))


def serve(listener: socket.socket) -> Callable[[], None]:
    """Fork a worker for each connection. Returns only in a forked process: what that one is to do."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as events:
        events.register(listener, selectors.EVENT_READ)
        events.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in events.select()}
            if woken in ready:
                woken.recv(4096)
                for process, code in _ended():
                    with workers.pop(process) as connection:
                        _tell(connection, code)
            if listener in ready:
                connection, _ = listener.accept()
                _, streams, _, _ = socket.recv_fds(connection, 1, 3)
                request = json.loads(connection.makefile("rb").readline())
                process = os.fork()
                if not process:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for end in (listener, wake, woken, *workers.values()):
                        end.close()
                    return lambda: _work(connection, streams, request)
                for stream in streams:
                    os.close(stream)
                workers[process] = connection
                _tell(connection, process)


def _ended() -> list[tuple[int, int]]:
    """Ids and exit codes (128 + n if signal n ended it) of the workers that ended since the last call."""
    ended = []
    with suppress(ChildProcessError):
        while (status := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(status[1])
            ended.append((status[0], code if code >= 0 else 128 - code))
    return ended


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # Ray has ended the stand-in, and its worker with it
        connection.sendall(f"{number}\n".encode())


def _work(connection: socket.socket, streams: list[int], request: dict[str, Any]) -> None:
    """Be the worker process that Ray wanted to start."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")


def _end_with(connection: socket.socket) -> None:
    """End this process when its stand-in is gone: Ray ends workers by killing what it started."""
    while connection.recv(1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])

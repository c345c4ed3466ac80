"""Run a trainer as a child process that cannot outlive the stage, and say clearly how it failed."""

import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from rlgen_k8s.processes import guard

TAIL_LINES = 25


class ChildError(Exception):
    """A child process that ended with another exit code than 0.

    `returncode` is the child's (128 + n if signal n ended it); `exit_code` is what the stage should end with: the
    same for a kill (143, 137: resume), else 1.
    """

    def __init__(self, name: str, returncode: int, tail: Sequence[str]) -> None:
        ended = returncode - 128 in {int(signum) for signum in signal.Signals}
        how = f"was ended by {signal.Signals(returncode - 128).name}" if ended else "failed"
        super().__init__(f"{name} {how} (exit code {returncode}); its last lines:\n" + "\n".join(tail))
        self.returncode = returncode
        self.exit_code = returncode if ended else 1


def guarded(argv: Sequence[str], grace: float) -> list[str]:
    """The command that runs `argv` under the guard. Its standard input has to be a pipe: closing it ends all of it."""
    return [sys.executable, "-I", "-S", guard.__file__, str(grace), *argv]


def run_child(
    argv: Sequence[str],
    *,
    name: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    on_tick: Callable[[], None] = lambda: None,
    tick: float = 1.0,
    grace: float = 6.0,
) -> None:
    """Run `argv` to its end with exactly the environment `env`, its output copied to our standard output.

    To be called from the main thread. `on_line` sees each line of output (standard error included; a progress bar's
    carriage return ends a line), `on_tick` is called about every `tick` seconds and once after the end, both in the
    calling thread. SIGTERM and SIGINT stop the child and all its descendants, wherever they put themselves: SIGTERM
    first, SIGKILL after `grace` seconds; then the signal takes its usual effect here. The same happens when a
    callback raises, and when this process is killed with -9.

    Raises `ChildError` with the last lines if the child's exit code is not 0.
    """
    process = subprocess.Popen(
        guarded(argv, grace),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,  # a terminal's Ctrl-C reaches only us; we pass it on
        text=True,
        errors="replace",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    leash, output = process.stdin, process.stdout
    lines: queue.Queue[str | None] = queue.Queue()
    received: list[int] = []

    def read() -> None:
        for line in output:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)
        leash.close()

    tail: deque[str] = deque(maxlen=TAIL_LINES)
    before = {signum: signal.signal(signum, on_signal) for signum in (signal.SIGTERM, signal.SIGINT)}
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        _follow(lines, tail, on_line, on_tick, tick)
    finally:
        leash.close()
        returncode = process.wait()
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if received:
        signal.raise_signal(received[0])
    if returncode:
        raise ChildError(name, returncode, list(tail))
    on_tick()


def _follow(
    lines: "queue.Queue[str | None]",
    tail: "deque[str]",
    on_line: Callable[[str], None],
    on_tick: Callable[[], None],
    tick: float,
) -> None:
    """Pass lines on until the output ends (None in the queue)."""
    next_tick = time.monotonic() + tick
    while True:
        with suppress(queue.Empty):
            line = lines.get(timeout=max(0.0, next_tick - time.monotonic()))
            if line is None:
                return
            print(line, flush=True)
            if line.strip():
                tail.append(line)
            on_line(line)
        if time.monotonic() >= next_tick:
            on_tick()
            next_tick = time.monotonic() + tick

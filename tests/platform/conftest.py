"""The cluster for development as commands. What starts and removes it wants the machine without one."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMANDS = Path(__file__).parents[2] / "platform" / "cluster"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    errors: list[str]


Command = Callable[..., Ended]


@pytest.fixture
def command() -> Command:
    """Run platform/cluster/<name> without Docker, with changes to its environment, maybe as another user
    than root, or behind the command `within`."""

    def run(name: str, *arguments: str, user: int = 0, within: tuple[str, ...] = (), **changes: str) -> Ended:
        other = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        line = [*within, *other, COMMANDS / name, *arguments]
        environment = os.environ | {"KIND": "0"} | changes
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=1500)
        return Ended(done.returncode, done.stdout, done.stderr.splitlines())

    return run

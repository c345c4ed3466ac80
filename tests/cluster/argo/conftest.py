"""What the tests of the commands share."""

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

RLGEN = Path(sys.executable).with_name("rlgen")
FIRST_FRESH = 10_000_000


@pytest.fixture
def seed():
    """A seed that nobody has used: nothing of a study with it is in the store yet."""
    return FIRST_FRESH + secrets.randbelow(10**9)


@pytest.fixture
def shared_store(cluster):
    """The platform's store, as a run on this machine names it."""
    return cluster.core.read_namespaced_config_map("rlgen-platform", "rlgen").data["store-public"]


@pytest.fixture
def run_here(cluster, shared_store, tmp_path):
    """`rlgen run` on this machine with the platform's store; its output."""

    def run(*arguments):
        place = {"RLGEN_HOME": str(tmp_path / "home"), "RLGEN_STORE": shared_store}
        done = subprocess.run(
            [RLGEN, "run", *arguments],
            cwd=Path(__file__).parents[3],
            env=cluster.environment | place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def start(cluster):
    """Start `rlgen` with its output on a pipe; whatever still runs at the end of the test is ended."""
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [RLGEN, *arguments],
            env=cluster.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()

"""What the tests of the commands share."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RLGEN = Path(sys.executable).with_name("rlgen")


@pytest.fixture
def run_here(cluster, tmp_path):
    """`rlgen run` on this machine with the platform's store; its output."""
    config = cluster.core.read_namespaced_config_map("rlgen-platform", cluster.namespace).data
    place = {"RLGEN_HOME": str(tmp_path / "home"), "RLGEN_STORE": config["store-public"]}

    def run(*arguments):
        command = [RLGEN, "run", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=cluster.environment | place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


MIRROR = ("problems", "math500", "questions", "conversations", "pages", "pretraining", "teaching")


@pytest.fixture
def small(seed):
    """Settings of a study whose first two stages take seconds, and that nobody has run."""
    sizes = [f"mirror.{name}=20" for name in MIRROR]
    return [f"seed={seed}", *sizes, "problems.size=20", "pods.mirror.cpu=0.1", "pods.problems.cpu=0.1"]

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

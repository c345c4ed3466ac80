"""The same cluster by kind, where a Docker daemon answers."""

import os
import shutil
import subprocess

from devcluster.output import UserError
from devcluster.paths import SOURCE


def docker_answers() -> bool:
    """Whether there is a Docker daemon to talk to."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0


def up() -> None:
    """Create the cluster and its registry unless they are there."""
    _run("up")


def down() -> None:
    """Delete both."""
    _run("down")


def _run(what: str) -> None:
    if shutil.which("kind") is None:
        raise UserError("kind: not on PATH, and a Docker daemon answers; install kind, or stop Docker")
    done = subprocess.run([SOURCE / "kind" / what], env=os.environ)
    if done.returncode:
        raise UserError(f"kind: {what} ended with exit code {done.returncode}; see above")

"""The same cluster by kind, where a Docker daemon answers."""

import os
import shutil
import subprocess
from pathlib import Path

from devcluster.build import build
from devcluster.components import NEEDED_BY_PLATFORM
from devcluster.leftovers import was_started
from devcluster.output import UserError, step
from devcluster.paths import CURRENT, SOURCE


def wanted() -> bool:
    """Whether the cluster is kind's: a Docker daemon answers, none of the other way is there, and not `KIND=0`."""
    text = os.environ.get("KIND", "")
    if text not in ("", "0"):
        raise UserError(f"KIND={text}: expected 0, for the cluster without Docker, or nothing")
    return text == "" and not was_started() and _docker_answers()


def up(queues: bool) -> None:
    """Create the cluster and its registry unless they are there, and what images and installation need."""
    _require_kind()
    build(("kube", *NEEDED_BY_PLATFORM))
    _run(SOURCE / "kind" / "up")
    if queues:
        with step("JobSet, Kueue"):
            _run(SOURCE.parent / "queues")


def down() -> None:
    """Delete cluster and registry."""
    _require_kind()
    _run(SOURCE / "kind" / "down")


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0


def _require_kind() -> None:
    if shutil.which("kind") is None:
        raise UserError("kind: not on PATH, and a Docker daemon answers; install kind, or go without Docker: KIND=0")


def _run(program: Path) -> None:
    done = subprocess.run([program], env=os.environ | {"PATH": f"{os.environ['PATH']}:{CURRENT}"})
    if done.returncode:
        raise UserError(f"{program.name} for kind: ended with exit code {done.returncode}; see above")

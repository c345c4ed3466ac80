"""The tiny study, run once for all tests that need it: what a newcomer does, in a clean clone."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOREIGN = (
    "RLGEN_SHARED_STUDY",
    "VIRTUAL_ENV",
    "RLGEN_HOME",
    "RLGEN_STORE",
    "MLFLOW_TRACKING_URI",
    "RLGEN_WORKFLOWS",
    "PYTHONPATH",
)


@dataclass(frozen=True)
class Finished:
    """A clone in which `make run WF=tiny` has ended, and what it printed."""

    clone: Path
    output: str
    seconds: float

    @property
    def home(self) -> Path:
        return self.clone / ".rlgen"

    def rlgen(self, *arguments: str, home: Path | None = None, **more) -> subprocess.CompletedProcess[str]:
        """The command, in the clone."""
        environment = clean_environment() | ({"RLGEN_HOME": str(home)} if home else {})
        command = [str(self.clone / ".venv/bin/rlgen"), *arguments]
        return subprocess.run(command, cwd=self.clone, env=environment, capture_output=True, text=True, **more)


def clean_environment() -> dict[str, str]:
    """This environment without what a newcomer's would not have."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Finished:
    """`make run WF=tiny` in a clean clone, the environment made from the lock included.

    `RLGEN_SHARED_STUDY` names where the clone goes when other tests (tests/cluster/study) need its results later.
    """
    clone = Path(os.environ.get("RLGEN_SHARED_STUDY") or tmp_path_factory.mktemp("clone") / "rlgen-k8s")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    began = time.monotonic()
    run = subprocess.run(
        ["make", "run", "WF=tiny"], cwd=clone, env=clean_environment(), capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    print(run.stdout[-6000:], run.stderr[-3000:], f"make run WF=tiny: {seconds:.0f} s")
    assert run.returncode == 0
    return Finished(clone, run.stdout, seconds)


@pytest.fixture
def copied_home(tiny: Finished, tmp_path) -> Path:
    """A home with the finished study's results that a test may change."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(tiny.home / "store", home / "store")
    return home

"""The blocks of the guides that need no cluster, as they stand."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.pages import GUIDES, ROOT, blocks


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with all that the repository has; what a command writes there stays there."""
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".rlgen"):
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in GUIDES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_the_commands_of_a_guide_work(page: Path, clone: Path) -> None:
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RLGEN_", "MLFLOW_"))}
    for block in blocks(page, "sh"):
        command = ["bash", "-euc", block]
        done = subprocess.run(
            command, cwd=clone, env={**environment, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page.name}\n{block}\n{done.stdout}{done.stderr}"

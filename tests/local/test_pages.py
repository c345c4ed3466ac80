"""The blocks of the guides that need no cluster, as they stand."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.pages import GUIDES, ROOT, blocks


@pytest.mark.parametrize("page", [page for page in GUIDES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_the_commands_of_a_guide_work(page: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RLGEN_", "MLFLOW_"))}
    environment |= {"PATH": f"{ROOT / '.venv/bin'}:{environment['PATH']}", "RLGEN_HOME": str(tmp_path)}
    for block in blocks(page, "sh"):
        command = ["bash", "-euc", block]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page.name}\n{block}\n{done.stdout}{done.stderr}"

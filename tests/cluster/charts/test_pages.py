import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(path for path in (ROOT / "platform").glob("*.md") if "```sh\n" in path.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_an_operators_page_work(gpu_box, page):
    """Every ```sh block, in this installation's namespace instead of `rlgen`."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
        commands = re.sub(r"(-n |serviceaccount:)rlgen\b", rf"\1{gpu_box.namespace}", block)
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=ROOT, env=gpu_box.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page.name}\n{commands}\n{done.stdout}{done.stderr}"

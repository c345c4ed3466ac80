import re
import subprocess

import pytest
from tests.pages import GUIDES, OPERATORS, ROOT, on_the_cluster

PAGES = [page for page in (*OPERATORS, *GUIDES) if on_the_cluster(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_an_operators_page_work(gpu_box, page):
    """Every block that wants a platform, in this installation's namespace instead of `rlgen`."""
    for block in on_the_cluster(page):
        commands = re.sub(r"(-n |serviceaccount:)rlgen\b", rf"\1{gpu_box.namespace}", block)
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=ROOT, env=gpu_box.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page.name}\n{commands}\n{done.stdout}{done.stderr}"

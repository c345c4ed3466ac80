"""The values that the pages show are values of the chart."""

import shlex
from itertools import pairwise

import pytest
from tests.pages import ALL, blocks, commands


def settings(page):
    """What the page's commands set, as helm is told it."""
    for line in commands(page):
        words = shlex.split(line, comments=True)
        if words[:2] == ["make", "install"]:
            given = next((word for word in words if word.startswith("SET=")), "SET=")
            yield from given.removeprefix("SET=").split()
        if words[:2] == ["helm", "install"]:
            yield from (value for option, value in pairwise(words) if option == "--set")


SHOWN = {page: (blocks(page, "yaml"), list(settings(page))) for page in ALL}
PAGES = [page for page, shown in SHOWN.items() if any(shown)]


def test_there_are_such_pages():
    assert {"storage", "gangs", "quotas", "README"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_what_a_page_shows_is_taken(template, page, tmp_path):
    texts, values = SHOWN[page]
    options = [f"--set={value}" for value in values]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
        options.append(f"--values={tmp_path / f'{number}.yaml'}")
    done = template("gpu-box", *options)
    assert done.returncode == 0, done.stderr

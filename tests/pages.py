"""The commands that the pages show, and how each kind of block is tested.

In docs/*.md a block is
    ```sh           run as it stands, without a cluster       tests/local/test_pages.py
    ```sh cluster   run on an installed platform              tests/cluster/charts/test_pages.py
    ```sh parsed    taken apart, as every command is          tests/unit/pages/test_commands.py
In platform/*.md every `sh` block is run on an installed platform.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
OPERATORS = sorted((ROOT / "platform").glob("*.md"))
ALL = [ROOT / "README.md", *GUIDES, *OPERATORS, ROOT / "images/README.md"]


def blocks(page: Path, kind: str) -> list[str]:
    """The text of the page's blocks of this kind: `sh`, `sh cluster`, `sh parsed`."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.M | re.S)


def on_the_cluster(page: Path) -> list[str]:
    """The blocks that want an installed platform."""
    return blocks(page, "sh" if page in OPERATORS else "sh cluster")


def commands(page: Path) -> list[str]:
    """Every command of the page: the lines of its blocks, and `rlgen …` and `make …` within the text.

    Those in which something is left open (`…`, `a|b`) are no commands; `rlgen run` alone is the command's name.
    """
    text = page.read_text()
    lines = [line for block in re.findall(r"^```sh[^\n]*\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    inline = [" ".join(span.split()) for span in re.findall(r"`((?:rlgen|make) [^`]+)`", prose)]
    inline = [f"{span} --help" if re.fullmatch(r"rlgen \w+", span) else span for span in inline]
    return [line for line in (*lines, *inline) if line.strip() and not re.search(r"…|\w\|\w", line)]

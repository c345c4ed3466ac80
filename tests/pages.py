"""The commands that the pages show, and how each kind of block is tested.

```sh            docs/: run as it stands, without a cluster       tests/local/test_pages.py
                 platform/: run on an installed platform          tests/cluster/charts/test_pages.py
                 the READMEs: taken apart; .ci/run types them
```sh cluster    run on an installed platform                     tests/cluster/charts/test_pages.py
```sh queues     run on one with Kueue                            tests/cluster/gangs/test_page.py
```sh rehearsal  run with the study's rehearsal in its place      tests/cluster/study/test_rehearsal.py
```sh parsed     taken apart, as all of the above are as well     tests/unit/pages/test_commands.py
```yaml          values that the chart takes                      tests/charts/test_pages.py
```python        run                                              tests/unit/crosscoder/test_library_page.py
```text          nothing that anybody types
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
OPERATORS = sorted((ROOT / "platform").glob("*.md"))
READMES = [ROOT / folder / "README.md" for folder in ("", "images", "charts/rlgen", "platform/cluster")]
ALL = [*READMES, *GUIDES, *OPERATORS]
KINDS = {"sh", "sh cluster", "sh queues", "sh rehearsal", "sh parsed", "yaml", "python", "text"}


def kinds(page: Path) -> list[str]:
    """The kind of each block of the page."""
    return re.findall(r"^```([^\n]*)\n.*?^```$", page.read_text(), re.M | re.S)


def blocks(page: Path, kind: str) -> list[str]:
    """The text of the page's blocks of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.M | re.S)


def on_the_cluster(page: Path) -> list[str]:
    """The blocks that want an installed platform."""
    return blocks(page, "sh" if page in OPERATORS else "sh cluster")


def commands(page: Path) -> list[str]:
    """Every command of the page: the lines of its blocks, and `rlgen …` and `make …` within the text.

    Of those within the text, what leaves something open (`…`, `a|b`) is no command; `rlgen run` alone is the command's
    name.
    """
    text = page.read_text()
    shown = "".join(re.findall(r"^```sh[^\n]*\n(.*?)^```", text, re.M | re.S))
    lines = [line for line in shown.replace("\\\n", "").splitlines() if line.strip()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    inline = [" ".join(span.split()) for span in re.findall(r"`((?:rlgen|make) [^`]+)`", prose)]
    inline = [f"{span} --help" if re.fullmatch(r"rlgen \w+", span) else span for span in inline]
    return [*lines, *(line for line in inline if not re.search(r"…|\w\|\w", line))]

"""Rich's tables and trees as plain text."""

import io
import shutil

from rich.console import Console, RenderableType

WIDE = 160


def plain(what: RenderableType) -> str:
    """The text of a table or tree, as wide as the terminal, or wide where there is none."""
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size((WIDE, 24)).columns, color_system=None)
    with console.capture() as captured:
        console.print(what)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())

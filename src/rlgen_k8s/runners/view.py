"""What a person sees of a run: a live table on a terminal, plain lines when piped."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rlgen_k8s.runners.states import Phase, TaskState

_MARKS = {
    Phase.PENDING: ("·", "dim"),
    Phase.RUNNING: ("▶", "cyan"),
    Phase.SUCCEEDED: ("✔", "green"),
    Phase.FAILED: ("✖", "red"),
    Phase.ERROR: ("✖", "red"),
    Phase.SKIPPED: ("○", "dim"),
    Phase.OMITTED: ("○", "dim"),
}
PLAIN_PROGRESS_SECONDS = 15.0


class View(Protocol):
    """What the loop tells."""

    def event(self, task: str, what: str) -> None:
        """Something happened to a task."""

    def failure(self, task: str, message: str, last_lines: str) -> None:
        """A task failed for good."""

    def update(self, states: Sequence[TaskState]) -> None:
        """The states now; called often."""


def clock(seconds: float) -> str:
    """`1:05` or `1:02:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def describe(state: TaskState) -> str:
    """Rate and time left of a running task, its duration otherwise."""
    if state.phase is not Phase.RUNNING or not state.done or state.seconds < 1:
        return "" if state.started is None else clock(state.seconds)
    rate = state.done / state.seconds
    left = (state.total - state.done) / rate
    return f"{clock(state.seconds)}  {rate:,.1f}/s  {clock(left)} left"


class PlainView:
    """One line an event, and a line of progress for each running task now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, float] = {}

    def event(self, task: str, what: str) -> None:
        """Print it."""
        self._console.print(
            f"{time.strftime('%H:%M:%S')}  {task:<18} {what}", markup=False, highlight=False, soft_wrap=True
        )

    def failure(self, task: str, message: str, last_lines: str) -> None:
        """Print it with the end of the log."""
        self.event(task, f"FAILED: {message}")
        self._console.print(last_lines, markup=False, highlight=False, soft_wrap=True)

    def update(self, states: Sequence[TaskState]) -> None:
        """Print the progress of running tasks, each at most every 15 s."""
        for state in states:
            last = self._told.setdefault(f"{state.name}.{state.attempts}", time.monotonic())
            if state.phase is Phase.RUNNING and state.done and time.monotonic() - last >= PLAIN_PROGRESS_SECONDS:
                self._told[f"{state.name}.{state.attempts}"] = time.monotonic()
                self.event(state.name, f"{state.done}/{state.total}  {describe(state)}")


class LiveView:
    """A table that is redrawn in place; what has to be kept is printed above it."""

    def __init__(self, console: Console, title: str, began: float | None = None) -> None:
        self._plain = PlainView(console)
        self._title = title
        self._began = time.time() if began is None else began
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> "LiveView":
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def event(self, task: str, what: str) -> None:
        """The table tells it, unless it is unusual."""
        if what != "started" and not what.startswith("done"):
            self._plain.event(task, what)

    def failure(self, task: str, message: str, last_lines: str) -> None:
        """Print it above the table."""
        self._plain.failure(task, message, last_lines)

    def update(self, states: Sequence[TaskState]) -> None:
        """Redraw."""
        table = Table.grid(padding=(0, 1))
        for state in states:
            mark, style = _MARKS[state.phase]
            bar = ProgressBar(total=max(state.total, 1), completed=state.done, width=24) if state.done else Text("")
            shown = bar if state.phase is Phase.RUNNING else Text(state.phase.lower(), style="dim")
            table.add_row(Text(mark, style=style), Text(state.name, style=style), shown, _said(state))
        finished = sum(state.phase.done for state in states)
        head = Text(f"{self._title}: {finished}/{len(states)} tasks, {clock(time.time() - self._began)}", style="bold")
        self._live.update(Group(head, table))


def _said(state: TaskState) -> Text:
    """How long, how fast; why not yet, for a task that waits."""
    return Text(describe(state) or state.message, no_wrap=True, overflow="ellipsis")

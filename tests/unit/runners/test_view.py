"""What a person sees of a run, on a terminal and in a pipe."""

import io
import time

from rich.console import Console

from rlgen_k8s.runners.states import Phase, TaskState
from rlgen_k8s.runners.view import LiveView, PlainView, clock, describe


def running(done: int, total: int, seconds: float) -> TaskState:
    return TaskState("sft", Phase.RUNNING, 1, started=time.time() - seconds, done=done, total=total)


def test_a_running_task_shows_its_time_rate_and_time_left():
    assert describe(running(30, 120, 60)) == "1:00  0.5/s  3:00 left"
    assert describe(running(0, 0, 5)) == "0:05"
    assert describe(TaskState("sft")) == ""
    assert clock(3725) == "1:02:05"


def test_a_pipe_gets_plain_lines_with_the_end_of_a_failed_task_s_log():
    written = io.StringIO()
    view = PlainView(Console(file=written, width=200))
    view.event("sft", "started")
    view.failure("sft", "exit code 2; log /x/sft.log", "error: the reason [bold]")
    lines = written.getvalue().splitlines()
    assert lines[0].endswith("sft                started")
    assert lines[1].endswith("FAILED: exit code 2; log /x/sft.log")
    assert lines[2] == "error: the reason [bold]"
    assert "\x1b" not in written.getvalue()


def test_a_terminal_gets_a_table_with_a_row_a_task_and_failures_above_it():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120, height=40)
    with LiveView(console, "tiny-1") as view:
        view.failure("grpo", "exit code 1; log /x/grpo.log", "the last line")
        view.update([running(30, 120, 60), TaskState("report"), TaskState("mirror", Phase.SUCCEEDED, 1, 1.0, 9.0)])
    text = written.getvalue()
    for words in ("tiny-1: 1/3 tasks", "0.5/s  3:00 left", "pending", "succeeded", "0:08", "FAILED", "the last line"):
        assert words in text
    assert "━" in text

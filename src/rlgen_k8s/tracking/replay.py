"""Send the spool's events to MLflow: in order of time, each once, and as far as MLflow takes them."""

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from mlflow.exceptions import MlflowException

from rlgen_k8s.tracking import spool
from rlgen_k8s.tracking.events import Event, Finished, Logged, StageOpened, SubmissionOpened
from rlgen_k8s.tracking.figures import log_figures
from rlgen_k8s.tracking.mlflow_store import Tracking, connect, run_id
from rlgen_k8s.tracking.record import close_run, log_metrics, open_run, open_submission_run, points


class _RunIsGone(MlflowException):
    """Someone deleted the run that an event belongs to."""


def replay(folder: Path, uri: str) -> None:
    """Send what waits in `folder` to the MLflow at `uri`, unless a recorder is at work there. For readers of MLflow.

    Raises MlflowException when MLflow does not answer.
    """
    lock = spool.try_lock(folder)
    if lock is not None:
        with lock:
            send(folder, connect(uri, folder))


def send(folder: Path, tracking: Tracking) -> None:
    """Send all events in `folder` that MLflow does not have yet. The caller holds the spool's lock.

    May be stopped anywhere and called again: no event has a second effect. Raises MlflowException when MLflow does
    not answer; what was not sent stays.
    """
    for writer in spool.writers(folder):
        spool.end_if_dead(folder, writer)
    waiting = [
        (event.at, writer, event, end)
        for writer in spool.writers(folder)
        for event, end in spool.read(folder, writer, spool.position(folder, writer))
    ]
    waiting.sort(key=lambda one: (one[0], _ends_submission(one[1], one[2]), one[1]))
    for (writer, _), group in groupby(waiting, key=lambda one: (one[1], isinstance(one[2], Logged))):
        together = list(group)
        try:
            _send(folder, tracking, writer, [event for _, _, event, _ in together])
        except MlflowException as error:
            if not isinstance(error, _RunIsGone) and error.error_code != "INVALID_PARAMETER_VALUE":
                raise  # may go better the next time; the other two never will
            print(f"tracking: MLflow refused {together[0][2].id}: {error.message}", file=sys.stderr, flush=True)
        spool.advance(folder, writer, together[-1][3])
        if isinstance(together[-1][2], Finished):
            spool.remove(folder, writer)


def _ends_submission(writer: str, event: Event) -> bool:
    """It comes after all ends of attempts at the same time, whose figures it gathers. Their writers have a `+`."""
    return isinstance(event, Finished) and "+" not in writer


def _send(folder: Path, tracking: Tracking, writer: str, events: Sequence[Event]) -> None:
    """Send neighbouring events of one writer: some `Logged`, or one or more others."""
    for event in events:
        if isinstance(event, SubmissionOpened):
            open_submission_run(tracking, event)
        elif isinstance(event, StageOpened):
            open_run(tracking, writer, event)
        elif isinstance(event, Finished):
            run, history = _run(tracking, writer), [event for event, _ in spool.read(folder, writer)]
            if isinstance(history[0], SubmissionOpened):
                log_figures(tracking, run)
            close_run(tracking, run, history)
    if metrics := points(event for event in events if isinstance(event, Logged)):
        log_metrics(tracking, _run(tracking, writer), metrics)


def _run(tracking: Tracking, writer: str) -> str:
    found = run_id(tracking, writer)
    if found is None:
        raise _RunIsGone(f"no run of {writer}: it was deleted from MLflow")
    return found

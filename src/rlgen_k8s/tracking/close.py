"""`python -m rlgen_k8s.tracking.close --status=Succeeded`: the exit handler of a workflow.

Says in the store how the submission ended, then ends it in MLflow, and with it every submission that an earlier exit
handler could not end because MLflow was down: events that pods left in the store are sent, attempts of which only Argo
knows get a run, runs that nobody ended are marked as killed, the submission's own run gets the figures of its tasks. It
never fails: a workflow whose exit handler fails counts as failed, whatever it made.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import handover
from rlgen_k8s.tracking.events import Status, SubmissionOpened
from rlgen_k8s.tracking.failures import keep_failures, kept_failures, record_failures
from rlgen_k8s.tracking.figures import log_figures
from rlgen_k8s.tracking.mlflow_store import connect
from rlgen_k8s.tracking.places import tracking_uri
from rlgen_k8s.tracking.record import STATUS, describe_submission, end_runs, running_attempts, submission_run
from rlgen_k8s.tracking.replay import send
from rlgen_k8s.tracking.spool import now_ms

STATES: dict[str, Status] = {"Succeeded": "done", "Failed": "failed", "Error": "failed"}
"""A workflow's states, as its submission's."""
GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says about a run that somebody deleted."""
WAIT_SECONDS = 60.0
RETRY_SECONDS = 5.0


def close(status: Status, environ: Mapping[str, str], wait: float = WAIT_SECONDS) -> bool:
    """End the submission `RLGEN_SUBMISSION`, trying for `wait` seconds. False if that is left to a later one."""
    submission, until = environ.get("RLGEN_SUBMISSION", ""), time.monotonic() + wait
    if not submission:
        return True
    store = open_store(environ["RLGEN_STORE"], environ)
    while True:
        try:
            keep_failures(store, submission, environ.get("RLGEN_FAILURES", ""))
            handover.close(store, submission, status)
            end_all(store, environ)
            return True
        except (MlflowException, TryAgainError) as error:
            print(f"tracking: {error}", file=sys.stderr, flush=True)
            if time.monotonic() + RETRY_SECONDS > until:
                return False
            time.sleep(RETRY_SECONDS)


def end_all(store: Store, environ: Mapping[str, str]) -> None:
    """End, in MLflow, every submission that is said to be over. Raises MlflowException when MLflow does not answer."""
    for submission, status in handover.closed(store).items():
        if (number := handover.claim(store, submission)) is None:
            continue
        try:
            with TemporaryDirectory(prefix="rlgen-close-") as folder:
                _end(store, submission, status, Path(folder), tracking_uri(environ))
        except MlflowException as error:
            if error.error_code not in GONE:
                handover.release(store, submission, number)
                raise
            print(f"tracking: {submission} was deleted from MLflow: {error.message}", file=sys.stderr, flush=True)
        handover.forget(store, submission)


def _end(store: Store, submission: str, status: str, folder: Path, uri: str) -> None:
    tracking, now = connect(uri, folder, store), now_ms()
    handover.bring(store, submission, folder)
    send(folder, tracking)
    run = submission_run(tracking, submission, now)
    describe_submission(tracking, store, submission)
    if isinstance(event := handover.announced(store, submission), SubmissionOpened):
        record_failures(tracking, run, event, kept_failures(store, submission))
    end_runs(tracking, running_attempts(tracking, run), now)
    log_figures(tracking, run)
    if tracking.client.get_run(run).info.status == "RUNNING":  # what was said first counts, also for one ended before
        tracking.client.set_terminated(run, STATUS[status], now)


def main() -> int:
    """Always 0: see above."""
    parser = argparse.ArgumentParser(prog="rlgen_k8s.tracking.close", description="End a submission in MLflow.")
    parser.add_argument("--status", required=True, choices=STATES, help="the workflow's status")
    status = STATES[parser.parse_args().status]
    try:
        done = close(status, os.environ)
    except UserError as error:
        print(error, file=sys.stderr)
        done = False
    print("tracking: ended" if done else "tracking: the exit handler of the next submission ends this one")
    return 0


if __name__ == "__main__":
    sys.exit(main())

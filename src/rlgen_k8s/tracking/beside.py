"""A recorder of a pod's own, beside its stage. On a user's machine the runner has one for all stages."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import handover
from rlgen_k8s.tracking.recorder import Recorder, start_recorder

LAST_SECONDS = 15.0
"""How long a stage that has ended waits for MLflow at most; then what is left goes to the store."""
STOPPED_SECONDS = 2.0
"""The same for one that was told to stop."""


@dataclass(frozen=True)
class Beside:
    """The recorder of this pod, or None outside a pod, or where nothing is tracked."""

    recorder: Recorder | None
    submission: str

    @property
    def processes(self) -> frozenset[int]:
        """Its process, which is none of the stage's."""
        return frozenset() if self.recorder is None else frozenset({self.recorder.process.pid})

    def stop(self, store: Store, stopped: Callable[[], bool]) -> None:
        """Let it send what is left; what MLflow did not take is kept in the store. Nothing here fails a stage.

        `stopped` is asked again and again whether this pod was told to stop.
        """
        if self.recorder is None:
            return
        try:
            if self.recorder.stop(lambda: STOPPED_SECONDS if stopped() else LAST_SECONDS) is not None:
                handover.keep(store, self.submission, self.recorder.folder)
                said = "tracking: MLflow did not take everything; the rest is kept in the store"
                print(said, file=sys.stderr, flush=True)
        except (OSError, TryAgainError, UserError) as error:
            print(f"tracking: events of this attempt are lost: {error}", file=sys.stderr, flush=True)


def start_beside(environ: Mapping[str, str]) -> Beside:
    """Start a recorder if this is a pod of a submission."""
    submission = environ.get("RLGEN_SUBMISSION", "")
    if not submission or not environ.get("RLGEN_POD"):
        return Beside(None, submission)
    try:
        return Beside(start_recorder(environ), submission)
    except OSError as error:
        print(f"tracking: no recorder: {error}", file=sys.stderr, flush=True)
        return Beside(None, submission)

"""How often a task of one submission may fail and be tried again.

Counted in the store, beside the attempts, and not by the scheduler: Argo counts preempted pods as well.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.store.results import Store

FAILURES = 4
"""The last of them is final."""


def spend(store: Store, address: str, attempt: str, words: str, environ: Mapping[str, str]) -> tuple[int, str]:
    """Count a failure; the exit code that follows, and what to say.

    A store that does not answer counts nothing: an outage is nobody's failure, and passes.
    """
    submission = environ.get("RLGEN_SUBMISSION")
    if not submission:
        return TryAgainError.exit_code, words
    failures = f"{address}/failures/{submission}"
    note = {"message": words, "at": datetime.now(UTC).isoformat(), "node": environ.get("RLGEN_NODE", "")}
    try:
        store.blobs.put_new(f"{failures}/{attempt}", json.dumps(note).encode())
        count = len(store.blobs.children(failures))
        if count < FAILURES:
            return TryAgainError.exit_code, f"{words} (failure {count} of {FAILURES})"
        store.blobs.remove(failures)  # who submits again has a whole budget
    except TryAgainError:
        return TryAgainError.exit_code, words
    return UserError.exit_code, f"{words} (failure {count} of {FAILURES}: given up; mend the cause and submit again)"


def clear(store: Store, address: str) -> None:
    """Forget the failures of a result that is there now."""
    store.blobs.remove(f"{address}/failures")

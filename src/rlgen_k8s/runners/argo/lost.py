"""Submissions whose workflows were deleted: no exit handler ran for them, so the next submission closes them."""

from rlgen_k8s.dag.names import SUBMISSION
from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.platform import Platform
from rlgen_k8s.runners.argo.workflows import of_study
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import handover
from rlgen_k8s.tracking.events import SubmissionOpened
from rlgen_k8s.tracking.submission import PLATFORM


def close_lost(cluster: Cluster, platform: Platform, store: Store) -> None:
    """Say of this platform's submissions that have no workflow any more that they were killed."""
    # In this order: what is announced had its workflow before.
    announced = {name: handover.announced(store, name) for name in store.blobs.children(handover.ROOT)}
    there = {workflow["metadata"]["labels"].get(SUBMISSION) for workflow in of_study(cluster)}
    for name, event in announced.items():
        ours = isinstance(event, SubmissionOpened) and event.tags.get(PLATFORM) == platform.uid
        if ours and name not in there:
            handover.close(store, name, "killed")

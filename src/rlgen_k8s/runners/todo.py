"""What is to be done of a study, as every runner begins it."""

from collections.abc import Iterable

from rlgen_k8s.dag.verdicts import Verdict
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking.events import Node


def planned(verdicts: Iterable[Verdict]) -> list[Node]:
    """The nodes of a submission, as tracking is told."""
    return [
        Node(task=verdict.node.name, address=verdict.node.address, verdict="run" if verdict.runs else "hit")
        for verdict in verdicts
        if verdict.runs or verdict.manifest
    ]


def remove_old(verdicts: Iterable[Verdict], store: Store) -> None:
    """Take the results that are to be made again out of the store."""
    for verdict in verdicts:
        if verdict.again:
            store.delete(verdict.node.address)

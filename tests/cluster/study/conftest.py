"""The tiny study, submitted once for all tests that look at what came of it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.store.manifest import MANIFEST
from rlgen_k8s.study.load import load_study

SHARED_TASKS = ("mirror", "base", "teacher", "problems", "traces")
"""Taken from a study that ran on this machine, where there is one: the cluster then makes the rest."""
PATIENCE = 40 * 60


@dataclass(frozen=True)
class Submitted:
    """A workflow that has ended, and the tasks whose results were there before it began."""

    name: str
    workflow: dict[str, Any]
    hits: tuple[str, ...]


def put_shared_results(folder: Path, store) -> None:
    """Upload what the store in `folder` has of the shared tasks' results, manifests last."""
    for node in plan(load_study("tiny")):
        if node.name not in SHARED_TASKS or not (folder / node.address / MANIFEST).is_file():
            continue
        files = [path for path in (folder / node.address).rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == MANIFEST):
            name = f"{store.blobs.prefix}/{path.relative_to(folder)}"
            store.blobs.client.fput_object(store.blobs.bucket, name, str(path))
        assert store.manifest(node.address)


@pytest.fixture(scope="session")
def submitted(cluster) -> Submitted:
    """`rlgen submit tiny`, to its end."""
    shared = os.environ.get("RLGEN_SHARED_STUDY")
    if shared:
        put_shared_results(Path(shared) / ".rlgen/store", cluster.store)
    hits = tuple(node.name for node in plan(load_study("tiny")) if cluster.store.manifest(node.address))
    name = cluster.submit()
    print(cluster.rlgen("watch", name, timeout=PATIENCE))
    return Submitted(name, cluster.workflow(name), hits)

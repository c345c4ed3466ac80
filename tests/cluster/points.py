"""Resume points as a stage keeps them in the cluster's store."""

import time
from collections.abc import Callable

from rlgen_k8s.store.blobs import Blobs

PAUSE = 0.2


def next_point(
    blobs: Blobs, address: str, wanted: Callable[[str], bool] = lambda name: True, seconds: float = 120
) -> str:
    """The name of the next point of this address that is `wanted`, as soon as it is whole."""
    known = set(_points(blobs, address))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for name in _points(blobs, address):
            if name not in known and wanted(name):
                return name
            known.add(name)
        time.sleep(PAUSE)  # MinIO tells of new objects with up to 2 KiB of delay (chainguard-forks/minio#37)
    raise AssertionError(f"{address}: no such resume point within {seconds:.0f} s; points {sorted(known)}")


def _points(blobs: Blobs, address: str) -> list[str]:
    points = blobs.children(f"{address}/resume")
    return [name for name in points if "manifest.json" in blobs.children(f"{address}/resume/{name}")]

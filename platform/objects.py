"""Copy the store's bucket to a folder, or what a folder has and the bucket lacks back into it.

objects.py save|load FOLDER, for the namespace of $RLGEN_NAMESPACE. Neither removes anything.
"""

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from minio import Minio

from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import read_platform, shared_store
from rlgen_k8s.store.manifest import MANIFEST

AT_ONCE = 4
Item = TypeVar("Item")


def save(client: Minio, bucket: str, folder: Path) -> int:
    """Bring what is new or newer in the bucket. A result in the listing is whole: its manifest was put last."""

    def bring(item: tuple[str, float]) -> None:
        name, changed = item
        partial = folder / f"{name}.partial"
        client.fget_object(bucket, name, str(partial))
        os.utime(partial, (changed, changed))
        partial.rename(folder / name)

    wanted = []
    for found in client.list_objects(bucket, recursive=True):
        assert found.object_name and found.last_modified
        local, changed = folder / found.object_name, found.last_modified.timestamp()
        if not local.exists() or local.stat().st_size != found.size or local.stat().st_mtime != changed:
            wanted.append((found.object_name, changed))
    return _all(bring, wanted)


def load(client: Minio, bucket: str, folder: Path) -> int:
    """Put what the bucket lacks: manifests last, since what has one counts as whole."""

    def put(path: Path) -> None:
        client.fput_object(bucket, path.relative_to(folder).as_posix(), str(path))

    there = {found.object_name for found in client.list_objects(bucket, recursive=True)}
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".partial"]
    missing = [path for path in paths if path.relative_to(folder).as_posix() not in there]
    files = _all(put, [path for path in missing if path.name != MANIFEST])
    return files + _all(put, [path for path in missing if path.name == MANIFEST])


def _all(do: Callable[[Item], None], items: Iterable[Item]) -> int:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return len(list(pool.map(do, items)))


def main() -> None:
    """As the module's text says."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    cluster = connect()
    with shared_store(cluster, read_platform(cluster)) as store:
        count = {"save": save, "load": load}[way](store.blobs.client, store.blobs.bucket, folder)
    print(f"{way}: {count} objects of bucket {store.blobs.bucket}")


if __name__ == "__main__":
    main()

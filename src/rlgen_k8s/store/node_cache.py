"""Weights on the node's own disk: fetched once for all its pods, checked by digest, the longest unused evicted.

    <root>/<sha256>                  a file, locked as shared by each process that reads it
    <root>/<sha256>.lock             locked by the one that fetches the file; the others wait for it
    <root>/<sha256>.<size>.part/     being fetched; its size counts as taken

A file is removed only while nobody reads it. Locks are the kernel's, so they end with the processes that hold them.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rlgen_k8s.store.blobs import Blobs
from rlgen_k8s.store.files import Brought, FileEntry, sha256_of
from rlgen_k8s.store.threads import several_at_once

WEIGHTS = ".safetensors"
LOCK, PART = ".lock", ".part"


@dataclass(frozen=True)
class NodeCache:
    """The cache in the folder `root`, of at most `limit` bytes."""

    blobs: Blobs
    root: Path
    limit: int
    _read: list[int] = field(default_factory=list)
    """Descriptors of the files in use, locked until this process ends."""

    def bring(self, prefix: str, files: Sequence[FileEntry], to: Path) -> Brought:
        """As `Blobs.bring`, with links in `to` to those weights that the cache has or has room for."""
        weights = [entry for entry in files if entry.path.endswith(WEIGHTS) and entry.size <= self.limit]
        found = several_at_once(lambda entry: self._bring(prefix, entry, to / entry.path), weights)
        linked = {entry.path: entry.sha256 for entry, there in zip(weights, found, strict=True) if there}
        brought = self.blobs.bring(prefix, [entry for entry in files if entry.path not in linked], to)
        return Brought(to, {**brought.hashes, **linked})

    def _bring(self, prefix: str, entry: FileEntry, link: Path) -> bool:
        """Link to the cached file; False where it cannot be had here."""
        try:
            place = self._place(prefix, entry)
        except OSError as error:  # the disk is full, or not ours to write to: the store has the file all the same
            print(f"node cache {self.root}: not used for {entry.path} ({error})", file=sys.stderr, flush=True)
            return False
        if place is not None:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place)
        return place is not None

    def _place(self, prefix: str, entry: FileEntry) -> Path | None:
        place = self.root / entry.sha256
        while True:
            with _locked(self._lock_of(place)):
                fetched = not place.is_file()
                if fetched and not self._fetch(prefix, entry, place):
                    return None
                descriptor = os.open(place, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if os.fstat(descriptor).st_nlink == 0:  # evicted between the two
                    os.close(descriptor)
                    continue
            if fetched or sha256_of(place) == entry.sha256:
                break
            print(f"node cache {self.root}: {place.name} is damaged; it is fetched again", file=sys.stderr, flush=True)
            with _locked(self._lock_of(place)):
                if place.is_file() and place.stat().st_ino == os.fstat(descriptor).st_ino:
                    place.unlink()
            os.close(descriptor)
        self._read.append(descriptor)
        os.utime(place)
        print(f"{entry.path}: {'fetched into' if fetched else 'from'} this node's cache", flush=True)
        return place

    def _fetch(self, prefix: str, entry: FileEntry, place: Path) -> bool:
        """Fetch the file to `place`. False where there is no room, or what came is not the file."""
        part = place.with_name(f"{place.name}.{entry.size}{PART}")
        shutil.rmtree(part, ignore_errors=True)  # of a process that died
        with _locked(self.root / LOCK):
            if not self._make_room(entry.size):
                print(f"node cache {self.root}: no room for {entry.path}, {entry.size} bytes", flush=True)
                return False
            part.mkdir()
        good = False
        try:
            good = self.blobs.bring(prefix, [entry], part).hashes.get(entry.path) == entry.sha256
        finally:
            with _locked(self.root / LOCK):  # who makes room sees the file or its part, and neither on its way
                if good:
                    (part / entry.path).replace(place)
                shutil.rmtree(part)
        return good

    def _make_room(self, size: int) -> bool:
        """Remove what nobody reads, the longest unused first, until `size` bytes fit."""
        files = [path for path in self.root.iterdir() if path.suffix != LOCK and path.name != LOCK]
        sizes = {path: int(path.suffixes[-2][1:]) if path.suffix == PART else path.stat().st_size for path in files}
        used = sum(sizes.values())
        for path in sorted(files, key=lambda path: path.stat().st_mtime):
            if used + size <= self.limit:
                break
            if self._evict(path):
                used -= sizes[path]
        return used + size <= self.limit

    def _evict(self, path: Path) -> bool:
        lock = self._lock_of(path) if path.suffix == PART else path
        descriptor = os.open(lock, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:  # another was first
                return False
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _lock_of(self, path: Path) -> Path:
        return self.root / f"{path.name.partition('.')[0]}{LOCK}"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """While this process, of all on the node, holds `file`."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

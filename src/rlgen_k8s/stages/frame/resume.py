"""Resume points of an unfinished result, kept in the store so that another machine can go on from them."""

import errno
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rlgen_k8s.stages.contract import ResumePoint
from rlgen_k8s.store.errors import StoreError
from rlgen_k8s.store.files import Brought, FileEntry, list_files, verify_files
from rlgen_k8s.store.manifest import MANIFEST, ResumeManifest, parse_resume_manifest
from rlgen_k8s.store.results import Store

KEPT = 2
"""Whole points kept: the newest, and the one before in case the newest turns out to be damaged."""

PARTS = "parts"

SKIPPED = "it is removed, and the point before it is taken"


@dataclass(frozen=True)
class StoredResume:
    """The points of one address, as one attempt at it sees them."""

    store: Store
    address: str
    attempt: str
    scratch: Path
    within: str = "resume"
    """Where the points are, below the address."""

    def newest(self) -> ResumePoint | None:
        """The newest whole point, verified, or None. Says which; damaged ones are named on stderr and removed."""
        for name in reversed(self._whole()):
            try:
                manifest, path = self._fetch(name)
            except StoreError as error:
                print(error, file=sys.stderr, flush=True)
                self._remove(name)
            else:
                print(f"{self._of}: going on from step {manifest.step}", flush=True)
                return ResumePoint(manifest.step, path)
        return None

    def save(self, step: int, folder: Path) -> None:
        """Copy `folder` into the store as the point `step`, then drop all but the newest points."""
        files = list_files(folder)
        name = f"{step:012d}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{self.attempt}"
        self.store.blobs.keep(f"{self._root}/{name}/files", folder, files)
        manifest = ResumeManifest(
            address=self.address, step=step, attempt=self.attempt, saved=datetime.now(UTC), files=files
        )
        self.store.blobs.put_new(f"{self._root}/{name}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
        for older in self._whole()[:-KEPT]:
            self._remove(older)

    def part(self, name: str) -> "StoredResume":
        """Points of one part of the work."""
        return replace(self, within=f"{self.within}/{PARTS}/{name}")

    def clear(self) -> None:
        """Remove all points that no other running attempt is at; called once the result is published."""
        for name in self.store.blobs.children(self._root):
            if name == PARTS:
                for part in self.store.blobs.children(f"{self._root}/{PARTS}"):
                    self.part(part).clear()
                continue
            writer = name.rsplit("-", 1)[-1]
            if writer == self.attempt or self.store.blobs.abandoned(self.address, writer):
                self._remove(name)

    @property
    def _of(self) -> str:
        """What the points are of, for messages."""
        return self.address + self.within.removeprefix("resume")

    @property
    def _root(self) -> str:
        return f"{self.address}/{self.within}"

    def _whole(self) -> list[str]:
        """Points with a manifest, oldest step first; of one step, the one saved last comes last."""
        names = self.store.blobs.children(self._root)
        return [name for name in names if MANIFEST in self.store.blobs.children(f"{self._root}/{name}")]

    def _fetch(self, name: str) -> tuple[ResumeManifest, Path]:
        data = self.store.blobs.read(f"{self._root}/{name}/{MANIFEST}")
        manifest = parse_resume_manifest(data or b"", f"resume point {name} of {self._of}", SKIPPED)
        to = self.scratch / "resume" / name
        shutil.rmtree(to, ignore_errors=True)
        brought = self.store.blobs.bring(f"{self._root}/{name}/files", manifest.files, to)
        if brought.folder != to:
            brought = _own(brought.folder, manifest.files, to)
        verify_files(brought, manifest.files, f"resume point {manifest.step} of {self._of}", SKIPPED)
        return manifest, brought.folder

    def _remove(self, name: str) -> None:
        # The manifest goes first: a point that is half removed must not look whole.
        self.store.blobs.remove(f"{self._root}/{name}/{MANIFEST}")
        self.store.blobs.remove(f"{self._root}/{name}")


def _own(folder: Path, files: Sequence[FileEntry], to: Path) -> Brought:
    """The files under names in `to`, where they stay when an attempt beside this one removes the point for newer ones.
    Missing ones are left out."""
    for entry in files:
        target = to / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            try:
                os.link(folder / entry.path, target)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM):  # another file system, or one without hard links
                    raise
                shutil.copyfile(folder / entry.path, target)
    return Brought(to, {})

"""The files of a result: listed with size and SHA-256 when written, verified against that list when read."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from rlgen_k8s.store.errors import StoreError
from rlgen_k8s.store.threads import several_at_once


class FileEntry(BaseModel):
    """One file: its path relative to the result's folder (with `/`), size in bytes, SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    size: int
    sha256: str


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Every file below `folder`, by path. Raises ValueError for a folder without files, or a symbolic link in it
    (its target would not be published with it)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    if not paths:
        raise ValueError(f"{folder}: there is no file to publish")
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path}: only regular files can be published")
    return tuple(
        FileEntry(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=sha256)
        for path, sha256 in zip(paths, several_at_once(sha256_of, paths), strict=True)
    )


class Brought(NamedTuple):
    """Files as they are on local disk now."""

    folder: Path
    hashes: Mapping[str, str]
    """SHA-256 by path, of those that were copied: taken on the way."""


def verify_files(brought: Brought, files: Sequence[FileEntry], what: str, advice: str) -> None:
    """Compare files with what the manifest says of them: all sizes first, then all hashes.

    `what` names the thing in the message, `advice` ends it. Raises StoreError at the first difference.
    """
    folder = brought.folder

    def differs(entry: FileEntry, expected: str, found: str) -> StoreError:
        return StoreError(f"{what}: file {entry.path}: expected {expected}, found {found}; {advice}")

    for entry in files:
        path = folder / entry.path
        if not path.is_file():
            raise differs(entry, f"{entry.size} bytes", "no such file")
        if path.stat().st_size != entry.size:
            raise differs(entry, f"{entry.size} bytes", f"{path.stat().st_size} bytes")

    def hash_of(entry: FileEntry) -> str:
        return brought.hashes.get(entry.path) or sha256_of(folder / entry.path)

    for entry, found in zip(files, several_at_once(hash_of, files), strict=True):
        if found != entry.sha256:
            raise differs(entry, f"SHA-256 {entry.sha256[:16]}…", f"{found[:16]}…")

"""Results in a store: attempts that write, one publication that counts, readers that trust a manifest only.

    <stage>/<key>/attempts/<attempt>/…             the files of an attempt
    <stage>/<key>/manifest.json                    the publication: put once, on condition that nothing is there
    <stage>/<key>/resume/<step>-<attempt>/files/…  a resume point
    <stage>/<key>/resume/<step>-<attempt>/manifest.json
    <stage>/<key>/resume/parts/<part>/…            resume points of one part of the work

Two attempts that race both write all their files under their own names; the first conditional put decides, and both
find the same manifest afterwards.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlgen_k8s.store.blobs import Blobs, Bring
from rlgen_k8s.store.errors import StoreError, rebuild_advice
from rlgen_k8s.store.files import list_files, verify_files
from rlgen_k8s.store.keys import split_address
from rlgen_k8s.store.manifest import MANIFEST, Identity, Manifest, parse_manifest
from rlgen_k8s.store.provenance import provenance


@dataclass(frozen=True)
class Attempt:
    """One try at making a result: a folder to write it into, and the sign that somebody is at it."""

    id: str
    address: str
    out: Path
    started: datetime
    release: Callable[[], None]

    @property
    def prefix(self) -> str:
        """Where its files are in the store."""
        return _attempt_prefix(self.address, self.id)


class Store:
    """Every result, by address; the same on a folder and on S3."""

    def __init__(self, blobs: Blobs, bring: Bring | None = None) -> None:
        """`bring` is how results come to local disk, where it is not the blobs' own way."""
        self.blobs = blobs
        self._bring = bring or blobs.bring

    @property
    def uri(self) -> str:
        """Where the results are."""
        return self.blobs.uri

    def manifest(self, address: str) -> Manifest | None:
        """The manifest of a published result, or None. Raises StoreError for a damaged one."""
        data = self.blobs.read(f"{address}/{MANIFEST}")
        return None if data is None else parse_manifest(data, address)

    def open_attempt(self, address: str, scratch: Path) -> Attempt:
        """Begin an attempt, in the store's own folder or, where it has none, below `scratch`.

        What killed attempts at the same result left behind is removed; resume points stay.
        """
        self._remove_leftovers(address)
        attempt = secrets.token_hex(4)
        release = self.blobs.hold(address, attempt)
        out = self.blobs.workplace(_attempt_prefix(address, attempt), scratch)
        return Attempt(attempt, address, out, datetime.now(UTC), release)

    def publish(self, attempt: Attempt, identity: Identity) -> Manifest:
        """Publish an attempt's files, or find that another attempt was first; either way, the manifest that counts.

        Raises ValueError for a folder that cannot be published (no file, or a symbolic link).
        """
        files = list_files(attempt.out)
        self.blobs.keep(attempt.prefix, attempt.out, files)
        mine = Manifest(
            address=attempt.address,
            identity=identity,
            attempt=attempt.id,
            files=files,
            started=attempt.started,
            finished=datetime.now(UTC),
            provenance=provenance(),
        )
        data = (mine.model_dump_json(indent=1) + "\n").encode()
        self.blobs.put_new(f"{attempt.address}/{MANIFEST}", data)
        published = self.manifest(attempt.address)
        if published is None:
            raise StoreError(f"result {attempt.address}: it was removed while it was being published; run it again")
        return published

    def close(self, attempt: Attempt) -> None:
        """End an attempt, published or not, and remove the files of all ended attempts but the published one.

        Looks at the store rather than at what happened here: a publication whose answer was lost is one all the same.
        """
        attempt.release()
        self._remove_leftovers(attempt.address)

    def fetch(self, reference: str, to: Path) -> Path:
        """A local, verified folder of a result (`stage/key`) or of a folder in it (`stage/key/path`). Read-only.

        `to` is an empty folder for stores that have to copy. Raises StoreError when the result is missing, or a
        file in it is missing, truncated or altered.
        """
        address, sub = split_address(reference)
        manifest = self.manifest(address)
        if manifest is None:
            raise StoreError(f"result {address}: not in the store {self.uri}; run the stage that makes it first")
        files = [entry for entry in manifest.files if not sub or entry.path.startswith(f"{sub}/")]
        if not files:
            tops = sorted({entry.path.split("/")[0] for entry in manifest.files})
            raise StoreError(f"result {address}: no folder {sub!r} in it; it holds {', '.join(tops)}")
        brought = self._bring(_attempt_prefix(address, manifest.attempt), files, to)
        verify_files(brought, files, f"result {address}", rebuild_advice(address))
        return brought.folder / sub if sub else brought.folder

    def delete(self, address: str) -> None:
        """Take a result out of the store, so that it is made again. Attempts that are running are left alone."""
        attempts = f"{address}/attempts"
        gone = [name for name in self.blobs.children(attempts) if self.blobs.abandoned(address, name)]
        self.blobs.remove(f"{address}/{MANIFEST}")
        for name in gone:
            self.blobs.remove(f"{attempts}/{name}")
        self.blobs.remove(f"{address}/resume")

    def _remove_leftovers(self, address: str) -> None:
        """Remove the files of attempts that are over and were not published."""
        for name in self.blobs.children(f"{address}/attempts"):
            if not self.blobs.abandoned(address, name):
                continue
            # Only now: a publication comes before the end of its attempt, so it can no longer be overlooked.
            published = self.manifest(address)
            if published is None or published.attempt != name:
                self.blobs.remove(_attempt_prefix(address, name))


def _attempt_prefix(address: str, attempt: str) -> str:
    return f"{address}/attempts/{attempt}"

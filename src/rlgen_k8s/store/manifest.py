"""Manifests: what a reader trusts about a result, and nothing else."""

from datetime import datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from rlgen_k8s.store.errors import StoreError, rebuild_advice
from rlgen_k8s.store.files import FileEntry
from rlgen_k8s.store.keys import address_of, stage_key

MANIFEST = "manifest.json"
M = TypeVar("M", bound=BaseModel)


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(_Closed):
    """All that decides a result, and so its address."""

    stage: str
    version: int
    settings: dict[str, JsonValue]
    inputs: dict[str, str]
    """Address, or address and path inside it, by the name that the DAG gives the input."""

    @property
    def key(self) -> str:
        """The key that these values hash to."""
        return stage_key(self.stage, self.version, self.settings, self.inputs)

    @property
    def address(self) -> str:
        """`stage/key`."""
        return address_of(self.stage, self.key)


class Provenance(_Closed):
    """With what a result was made. None of it is part of the key."""

    code: str
    """Version of this package, with the git commit where there is one: "0.1.0+3f2a…"."""
    packages: dict[str, str]
    """Versions of the libraries that decide numbers, by distribution name."""
    image: str
    """The container image, by its digest where its registry told it at submission; "" outside a container."""


class Manifest(_Closed):
    """A published result."""

    schema_version: Literal[1] = 1
    address: str
    identity: Identity
    attempt: str
    """The attempt that won: its files are under `<address>/attempts/<attempt>/`."""
    files: tuple[FileEntry, ...]
    started: datetime
    finished: datetime
    provenance: Provenance

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)


class ResumeManifest(_Closed):
    """A whole resume point of an unfinished result."""

    schema_version: Literal[1] = 1
    address: str
    step: int
    attempt: str
    saved: datetime
    files: tuple[FileEntry, ...]


def parse_manifest(data: bytes, address: str) -> Manifest:
    """The manifest of `address`. Raises StoreError when it is no manifest, or one of another result."""
    manifest = _parse(Manifest, data, f"result {address}", rebuild_advice(address))
    if manifest.address != address or manifest.identity.address != address:
        raise StoreError(
            f"result {address}: file {MANIFEST}: expected settings and inputs that hash to this address, "
            f"found those of {manifest.identity.address}; {rebuild_advice(address)}"
        )
    return manifest


def parse_resume_manifest(data: bytes, what: str, advice: str) -> ResumeManifest:
    """The manifest of a resume point. Raises StoreError, which names it as `what` and ends with `advice`, if none."""
    return _parse(ResumeManifest, data, what, advice)


def _parse(model: type[M], data: bytes, what: str, advice: str) -> M:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(
            f"{what}: file {MANIFEST}: expected a whole manifest, found {len(data)} bytes with "
            f"{first['msg'][:120]!r}; {advice}"
        ) from error

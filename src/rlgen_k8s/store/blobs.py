"""What a folder and S3 do differently: keeping bytes under names. All else about results is in `results.py`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from rlgen_k8s.store.files import Brought, FileEntry

Bring = Callable[[str, Sequence[FileEntry], Path], Brought]
"""See `Blobs.bring`."""


class Blobs(Protocol):
    """Names are paths with `/`; a prefix is a name without its last parts."""

    @property
    def uri(self) -> str:
        """Where this is, for messages."""

    def read(self, name: str) -> bytes | None:
        """The bytes under `name`, or None."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Keep `data` under `name` if nothing is there: whole or not at all. False when something was there."""

    def children(self, prefix: str) -> list[str]:
        """The names directly below a prefix, sorted."""

    def remove(self, name: str) -> None:
        """Remove what is under `name` and below it. Nothing there is no error."""

    def workplace(self, prefix: str, scratch: Path) -> Path:
        """A new empty folder for writing files that `keep(prefix, …)` will get."""

    def keep(self, prefix: str, folder: Path, files: Sequence[FileEntry]) -> None:
        """Make `files` of `folder` durable under `prefix`."""

    def bring(self, prefix: str, files: Sequence[FileEntry], to: Path) -> Brought:
        """These files in a local folder: `to`, or a place where they already are. Missing ones are left out."""

    def hold(self, address: str, attempt: str) -> Callable[[], None]:
        """Mark an attempt as alive until this process ends or the returned function is called."""

    def abandoned(self, address: str, attempt: str) -> bool:
        """Whether the files of this attempt, if not published, can be removed without harm to anyone."""

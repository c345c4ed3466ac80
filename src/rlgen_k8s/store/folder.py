"""The store in a folder: results stay where they were written, so that nothing large is ever copied.

The conditional put is a hard link, which fails when the name exists and never shows a half-written file.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlgen_k8s.errors import UserError
from rlgen_k8s.store import leases
from rlgen_k8s.store.files import Brought, FileEntry

_UNWRITABLE = {
    errno.EROFS: "read-only",
    errno.EACCES: "not writable by this user",
    errno.EPERM: "not writable by this user, or on a file system without hard links",
    errno.ENOSPC: "full",
    errno.EDQUOT: "over its quota",
    errno.EFBIG: "limited to smaller files",
}


def unwritable(root: Path, error: OSError) -> UserError | None:
    """What the user must mend when writing below `root` failed with `error`; None when it is nothing of that kind."""
    reason = _UNWRITABLE.get(error.errno or 0)
    if reason is None:
        return None
    detail = f" ({error.filename})" if error.filename else ""
    return UserError(f"store {root}{detail}: it is {reason}; make room, or set RLGEN_STORE to another place")


class FolderBlobs:
    """Names are files below `root`, which is made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.root)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if (known := unwritable(self.root, error)) is None:
                raise
            raise known from error

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None."""
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put_new(self, name: str, data: bytes) -> bool:
        """Write, flush to disk, then link under the name: the first link wins."""
        target = self.root / name
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".put-")
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fchmod(stream.fileno(), 0o644)
                    os.fsync(stream.fileno())
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                os.unlink(temporary)
            _sync(target.parent)
        return True

    def children(self, prefix: str) -> list[str]:
        """Names of the files and folders in a folder; locks and temporary files are not among them."""
        try:
            names = os.listdir(self.root / prefix)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if not name.startswith(".") and not name.endswith(leases.LOCK_SUFFIX))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all in it."""
        path = self.root / name
        with self._writing():
            if path.is_dir():
                shutil.rmtree(path, onerror=_unless_gone)
                leases.forget(path)
            else:
                path.unlink(missing_ok=True)

    def workplace(self, prefix: str, scratch: Path) -> Path:
        """The very folder that `prefix` names: what is written there need not be moved."""
        folder = self.root / prefix
        with self._writing():
            folder.mkdir(parents=True)
        return folder

    def keep(self, prefix: str, folder: Path, files: Sequence[FileEntry]) -> None:
        """Flush files to disk, after copying them where they are not in their place yet."""
        place = self.root / prefix
        with self._writing():
            for entry in files:
                path = place / entry.path
                if folder != place:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / entry.path, path)
                _sync(path)
            parents = {parent for entry in files for parent in (place / entry.path).parents}
            for parent in sorted(parent for parent in parents if parent.is_relative_to(self.root)):
                _sync(parent)

    def bring(self, prefix: str, files: Sequence[FileEntry], to: Path) -> Brought:
        """The files' own folder: nothing is copied."""
        return Brought(self.root / prefix, {})

    def hold(self, address: str, attempt: str) -> Callable[[], None]:
        """Lock a file beside the attempt's folder."""
        with self._writing():
            return leases.hold_folder(self._attempt(address, attempt))

    def abandoned(self, address: str, attempt: str) -> bool:
        """True when the process of the attempt is gone, and with it its lock."""
        return leases.is_abandoned(self._attempt(address, attempt))

    def _attempt(self, address: str, attempt: str) -> Path:
        return self.root / address / "attempts" / attempt


def _unless_gone(function: object, path: str, failure: tuple[type[BaseException], BaseException, object]) -> None:
    """Another process may remove the same leftovers at the same time."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A stage's scratch folder: on local disk, with a short path (Ray's sockets need one), gone afterwards."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.gang import gang_of
from rlgen_k8s.store import leases


@contextmanager
def scratch_folder(environ: Mapping[str, str]) -> Iterator[Path]:
    """A new empty folder below `RLGEN_SCRATCH` (default: the system's temporary folder). Removed at the end, as are
    those of processes that were killed. All pods of a gang have theirs at the same path."""
    root = Path(environ.get("RLGEN_SCRATCH") or tempfile.gettempdir()) / f"rlgen-{os.getuid()}"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if root.stat().st_uid != os.getuid():
            raise UserError(f"scratch {root}: it belongs to another user; set RLGEN_SCRATCH to a folder of yours")
        _remove_leftovers(root)
        folder = root / ("gang" if gang_of(environ).nodes > 1 else secrets.token_hex(3))
        release = leases.hold_folder(folder)
        folder.mkdir()
    except OSError as error:
        raise UserError(f"scratch {root}: {error.strerror}; set RLGEN_SCRATCH to a folder with room") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        release()


def _remove_leftovers(root: Path) -> None:
    for folder in root.iterdir():
        if folder.is_dir() and leases.is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            leases.forget(folder)

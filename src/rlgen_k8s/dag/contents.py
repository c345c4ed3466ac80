"""What a folder of the user's holds, as a hash: so that new contents under an old name are a new result."""

import hashlib
from pathlib import Path

from rlgen_k8s.errors import UserError


def contents_of(setting: str, folder: Path) -> str:
    """SHA-256 over the paths and bytes of all files below `folder`, which the setting named `setting` gives.

    Raises `UserError` if it is no folder.
    """
    if not folder.is_dir():
        raise UserError(f"setting {setting}={str(folder)!r}: not a folder on this machine; give one that is")
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            inner = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{inner}\n".encode())
    return digest.hexdigest()

"""One run of a study at a time on one store: a lock that a dead holder lets go of by itself."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlgen_k8s.errors import UserError


@contextmanager
def only_run(study: str, folder: Path) -> Iterator[None]:
    """Hold the study's lock in `folder`. Raises `UserError` that says who holds it, since when, and what to do."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{study}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = json.loads(path.read_text() or "{}")
            raise UserError(
                f"study {study}: already running as process {holder.get('pid')} since {holder.get('since')}; "
                f"watch it with `rlgen status {study}`, or wait for it to end"
            ) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        file.flush()
        yield
        file.truncate(0)

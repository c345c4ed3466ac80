"""What tracking keeps in the store, where every pod of a submission and its successors can reach it. Imports no MLflow.

    _tracking/<submission>/submission.json       what was submitted; written by whoever submits
    _tracking/<submission>/run                   the id of its run in MLflow: put once, so all pods agree on one
    _tracking/<submission>/spool/<writer>/…      events that a pod could not send, and how far they were sent
    _tracking/<submission>/failures.json         what Argo says failed of it
    _tracking/<submission>/closed                how the submission ended: now all of it can be sent and removed
    _tracking/<submission>/claims/<number>       who is at that since when
    _tracking/models/<MLflow>/<address>          the id of a model in MLflow, put once as well

No result is here: a name of a stage begins with a letter.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rlgen_k8s.store.files import list_files
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import spool
from rlgen_k8s.tracking.events import EVENT, Event, Status

ROOT = "_tracking"
CLAIM_SECONDS = 600.0
MODELS = f"{ROOT}/models"


def announce(store: Store, submission: str, event: Event) -> None:
    """Say what was submitted."""
    store.blobs.put_new(f"{ROOT}/{submission}/submission.json", event.model_dump_json().encode())


def announced(store: Store, submission: str) -> Event | None:
    """What was submitted, if somebody said so."""
    data = store.blobs.read(f"{ROOT}/{submission}/submission.json")
    return None if data is None else EVENT.validate_json(data)


def keep(store: Store, submission: str, folder: Path) -> None:
    """Put what the spool in `folder` still holds into the store. Call it once nobody writes there any more."""
    for writer in spool.writers(folder):
        whole = folder / f"{writer}.whole"
        whole.mkdir()
        for suffix in ("jsonl", "position"):
            if (path := folder / f"{writer}.{suffix}").exists():
                path.rename(whole / suffix)
        store.blobs.keep(f"{ROOT}/{submission}/spool/{writer}", whole, list_files(whole))


def bring(store: Store, submission: str, folder: Path) -> None:
    """Put what pods left in the store into the spool in `folder`."""
    kept = f"{ROOT}/{submission}/spool"
    for writer in store.blobs.children(kept):
        for suffix in ("position", "jsonl"):
            if (data := store.blobs.read(f"{kept}/{writer}/{suffix}")) is not None:
                (folder / f"{writer}.{suffix}").write_bytes(data)


def close(store: Store, submission: str, status: Status) -> None:
    """Say how a submission ended; whoever says it first is right."""
    store.blobs.put_new(f"{ROOT}/{submission}/closed", status.encode())


def closed(store: Store) -> dict[str, str]:
    """How each submission ended that has, and is not removed yet."""
    found = {name: store.blobs.read(f"{ROOT}/{name}/closed") for name in store.blobs.children(ROOT)}
    return {name: status.decode() for name, status in found.items() if status is not None}


def forget(store: Store, submission: str) -> None:
    """Remove everything of a submission; `closed` goes last, so that a removal cut short is taken up again."""
    for name in store.blobs.children(f"{ROOT}/{submission}"):
        if name != "closed":
            store.blobs.remove(f"{ROOT}/{submission}/{name}")
    store.blobs.remove(f"{ROOT}/{submission}")


def claim(store: Store, submission: str) -> int | None:
    """The right to end a submission in MLflow, as a number, or None. One who took it and died loses it after
    `CLAIM_SECONDS`; it is never taken away, but the next number is taken, which one alone can."""
    claims = f"{ROOT}/{submission}/claims"
    newest = max(map(int, store.blobs.children(claims)), default=0)
    held = store.blobs.read(f"{claims}/{newest}")
    if held is not None and time.time() - float(held) < CLAIM_SECONDS:
        return None
    return newest + 1 if store.blobs.put_new(f"{claims}/{newest + 1}", str(time.time()).encode()) else None


def release(store: Store, submission: str, number: int) -> None:
    """Give the right up."""
    store.blobs.remove(f"{ROOT}/{submission}/claims/{number}")


class Agreed(NamedTuple):
    """What all pods call by one name."""

    value: str
    ours: bool
    """Whether it was made here and now."""


def agreed(
    store: Store,
    name: str,
    find: Callable[[], str | None],
    make: Callable[[], str],
    unmake: Callable[[str], object],
) -> Agreed:
    """The value of `name` for everyone: the first that was put there, found or made. One made in vain is unmade."""
    known = store.blobs.read(name)
    if known is not None:
        return Agreed(known.decode(), ours=False)
    found = find()
    mine = make() if found is None else found
    store.blobs.put_new(name, mine.encode())
    known = store.blobs.read(name)
    assert known is not None, f"{name}: put once, never changed"
    value = known.decode()
    if found is None and value != mine:
        unmake(mine)
    return Agreed(value, ours=found is None and value == mine)


def run_name(submission: str) -> str:
    """Where the id of the submission's run is."""
    return f"{ROOT}/{submission}/run"


def model_name(uri: str, address: str) -> str:
    """Where the id of a model in the MLflow at `uri` is."""
    return f"{MODELS}/{hashlib.sha256(uri.encode()).hexdigest()[:12]}/{address.replace('/', '+')}"

"""What only the folder store promises: nothing is copied, and the living are not cleaned away."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store

FORK = multiprocessing.get_context("fork")
IDENTITY = Identity(stage="problems", version=1, settings={}, inputs={})


def attempts(store: Store) -> list[str]:
    return store.blobs.children(f"{IDENTITY.address}/attempts")


def test_a_result_stays_where_it_was_written(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    attempt = store.open_attempt(IDENTITY.address, tmp_path / "scratch")
    (attempt.out / "w.bin").write_bytes(b"w")
    inode = (attempt.out / "w.bin").stat().st_ino
    store.publish(attempt, IDENTITY)
    store.close(attempt)
    fetched = store.fetch(IDENTITY.address, tmp_path / "to")
    assert (fetched / "w.bin").stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def leave_an_attempt(root: Path, opened: Any) -> None:
    attempt = open_store(str(root)).open_attempt(IDENTITY.address, root)
    (attempt.out / "half.bin").write_bytes(b"half")
    opened.set()
    signal.pause()


def test_only_attempts_of_dead_processes_are_cleaned_away(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = open_store(str(root))
    opened = FORK.Event()
    other = FORK.Process(target=leave_an_attempt, args=(root, opened))
    other.start()
    opened.wait()
    try:
        living = attempts(store)
        mine = store.open_attempt(IDENTITY.address, tmp_path)
        assert set(attempts(store)) == {*living, mine.id}
        store.delete(IDENTITY.address)
        assert set(attempts(store)) == {*living, mine.id}, (
            "rebuilding does not pull a folder from under a running stage"
        )
    finally:
        os.kill(other.pid or 0, signal.SIGKILL)
        other.join()
    store.close(mine)
    assert attempts(store) == []


def test_an_attempt_without_files_or_with_a_link_is_not_published(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    attempt = store.open_attempt(IDENTITY.address, tmp_path)
    with pytest.raises(ValueError, match="no file to publish"):
        store.publish(attempt, IDENTITY)
    (attempt.out / "link").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="only regular files"):
        store.publish(attempt, IDENTITY)
    assert store.manifest(IDENTITY.address) is None


def test_the_manifest_says_with_what_a_result_was_made(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    attempt = store.open_attempt(IDENTITY.address, tmp_path)
    (attempt.out / "x").write_text("x")
    made = store.publish(attempt, IDENTITY)
    assert made.identity == IDENTITY
    assert made.started <= made.finished
    assert made.provenance.packages["torch"].split(".")[0] == "2"
    assert made.provenance.code.startswith("0.")

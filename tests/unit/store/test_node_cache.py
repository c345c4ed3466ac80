"""The weights that a node's pods share."""

import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.store.errors import StoreError
from rlgen_k8s.store.files import Brought, FileEntry, sha256_of
from rlgen_k8s.store.folder import FolderBlobs
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.node_cache import NodeCache
from rlgen_k8s.store.results import Store

FORK = multiprocessing.get_context("fork")
SIZE = 1000
PODS = 5


class Remote(FolderBlobs):
    """A store that has to copy, and writes down what it copied."""

    seconds = 0.0

    def bring(self, prefix: str, files: Sequence[FileEntry], to: Path) -> Brought:
        there = [entry for entry in files if (self.root / prefix / entry.path).exists()]
        for entry in there:
            with self.root.with_suffix(".log").open("a") as log:
                log.write(f"{entry.path}\n")
            time.sleep(self.seconds)
            (to / entry.path).parent.mkdir(parents=True, exist_ok=True)
            (to / entry.path).write_bytes((self.root / prefix / entry.path).read_bytes())
        return Brought(to, {entry.path: sha256_of(to / entry.path) for entry in there})


@dataclass(frozen=True)
class Node:
    """A machine with a cache, a store far away, and results in it."""

    folder: Path
    blobs: Remote

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def store(self, files: int = 3) -> Store:
        """As one pod has it; the cache has room for so many files."""
        return Store(self.blobs, NodeCache(self.blobs, self.cache, files * SIZE).bring)

    def read(self, number: int, files: int = 3) -> Path:
        """The folder that this process, as a pod, reads for as long as it lives."""
        to = self.folder / f"pod-{time.monotonic_ns()}"
        return self.store(files).fetch(identity(number).address, to)

    def visit(self, number: int, files: int = 3) -> None:
        """A pod that reads and ends."""

        def pod() -> None:
            assert (self.read(number, files) / "model.safetensors").read_bytes() == weights(number)

        end(in_processes(pod, 1))

    @property
    def copied(self) -> list[str]:
        """What the store was asked for since the last look."""
        log = self.blobs.root.with_suffix(".log")
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    @property
    def kept(self) -> set[str]:
        """First bytes of the files in the cache."""
        return {path.read_bytes()[:1].decode() for path in self.cache.iterdir() if len(path.name) == 64}


def identity(number: int) -> Identity:
    return Identity(stage="model", version=1, settings={"number": number}, inputs={})


def weights(number: int) -> bytes:
    return str(number).encode() * SIZE


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path, Remote(tmp_path / "store"))
    made.cache.mkdir()
    for number in range(5):
        attempt = made.store().open_attempt(identity(number).address, tmp_path)
        (attempt.out / "model.safetensors").write_bytes(weights(number))
        (attempt.out / "config.json").write_text("{}")
        made.store().publish(attempt, identity(number))
    return made


def in_processes(action: Callable[[], object], count: int) -> list[Any]:
    pods = [FORK.Process(target=action) for _ in range(count)]
    for pod in pods:
        pod.start()
    return pods


def fetching(node: Node, action: Callable[[], object]) -> Any:
    """A pod that is in the middle of a download."""
    (pod,) = in_processes(action, 1)
    while not list(node.cache.glob("*.part")):
        assert pod.is_alive(), "it ended without a download"
        time.sleep(0.01)
    return pod


def end(pods: list[Any]) -> None:
    for pod in pods:
        pod.join(30)
        assert pod.exitcode == 0


def test_weights_are_fetched_once_a_node_and_everything_else_by_each_pod(node: Node) -> None:
    for _ in range(2):
        folder = node.read(0)
        assert (folder / "model.safetensors").read_bytes() == weights(0)
        assert (folder / "config.json").read_text() == "{}"
    assert sorted(node.copied) == ["config.json", "config.json", "model.safetensors"]


def test_pods_that_ask_at_once_wait_for_the_one_that_fetches(node: Node) -> None:
    node.blobs.seconds = 0.2

    def pod() -> None:
        assert (node.read(1) / "model.safetensors").read_bytes() == weights(1)

    end(in_processes(pod, PODS))
    assert sorted(node.copied) == ["config.json"] * PODS + ["model.safetensors"]


def test_what_was_not_read_for_longest_makes_room(node: Node) -> None:
    for number in (0, 1, 2, 0, 3):
        node.visit(number)
    assert node.kept == {"0", "2", "3"}
    node.visit(1)
    assert node.kept == {"0", "1", "3"}


def test_what_a_stage_reads_stays_and_where_nothing_can_go_the_store_is_asked(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    busy = [node.read(number, files=2) for number in (0, 1)]
    for _ in range(2):
        assert (node.read(2, files=2) / "model.safetensors").read_bytes() == weights(2)
    assert node.kept == {"0", "1"}
    assert node.copied.count("model.safetensors") == 4
    assert "no room for model.safetensors, 1000 bytes" in capfd.readouterr().out
    for folder, number in zip(busy, (0, 1), strict=True):
        assert (folder / "model.safetensors").read_bytes() == weights(number)


@pytest.mark.parametrize("damage", [b"x" * SIZE, b"short", b""])
def test_a_damaged_file_is_fetched_again(node: Node, damage: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    node.read(0)
    place = node.cache / hashlib.sha256(weights(0)).hexdigest()
    place.write_bytes(damage)
    assert (node.read(0) / "model.safetensors").read_bytes() == weights(0)
    assert node.copied.count("model.safetensors") == 2
    assert f"{place.name} is damaged" in capfd.readouterr().err
    assert place.read_bytes() == weights(0)


def test_a_pod_killed_while_it_fetches_takes_no_room_for_ever(node: Node) -> None:
    node.blobs.seconds = 60
    pod = fetching(node, lambda: node.read(0))
    os.kill(pod.pid, signal.SIGKILL)
    pod.join()
    node.blobs.seconds = 0
    for number in (1, 2, 3):
        node.visit(number)
    assert node.kept == {"1", "2", "3"} and not list(node.cache.glob("*.part"))
    assert (node.read(0) / "model.safetensors").read_bytes() == weights(0)


def test_a_file_that_is_being_fetched_counts_as_there(node: Node) -> None:
    node.blobs.seconds = 1
    pod = fetching(node, lambda: node.read(0, files=1))
    node.read(1, files=1)
    end([pod])
    assert node.kept == {"0"}


def test_what_the_store_has_lost_or_altered_is_said_and_not_kept(node: Node) -> None:
    (path,) = node.blobs.root.glob(f"{identity(0).address}/attempts/*/model.safetensors")
    path.write_bytes(b"altered")
    with pytest.raises(StoreError, match=r"model\.safetensors: expected 1000 bytes, found 7 bytes"):
        node.read(0)
    path.unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors: expected 1000 bytes, found no such file"):
        node.read(0)
    assert node.kept == set()


def test_a_folder_that_is_not_there_is_said_and_done_without(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    node.cache.rmdir()
    assert (node.read(0) / "model.safetensors").read_bytes() == weights(0)
    assert "not used for model.safetensors" in capfd.readouterr().err

"""What holds for every store: a folder and a real S3 server go through the same tests."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.frame.resume import StoredResume
from rlgen_k8s.store.errors import StoreError
from rlgen_k8s.store.manifest import Identity, Manifest
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store

FORK = multiprocessing.get_context("fork")
RACERS = 5
ROUNDS = 20


def identity(number: int = 0) -> Identity:
    return Identity(stage="problems", version=1, settings={"number": number}, inputs={})


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def publish(store: Store, scratch: Path, files: dict[str, bytes], number: int = 0) -> Manifest:
    attempt = store.open_attempt(identity(number).address, scratch)
    write(attempt.out, files)
    manifest = store.publish(attempt, identity(number))
    store.close(attempt)
    return manifest


def attempts(store: Store, number: int = 0) -> list[str]:
    return store.blobs.children(f"{identity(number).address}/attempts")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_published_is_what_is_read(place: Any, tmp_path: Path) -> None:
    files = {"a.json": b"{}", "checkpoints/1/w.bin": bytes(range(256)), "checkpoints/2/w.bin": b"", "ünicode é": b"x"}
    store = place.open()
    assert store.manifest(identity().address) is None
    publish(store, tmp_path / "s", files)
    reader = place.open()
    assert reader.manifest(identity().address).identity == identity()
    assert contents(reader.fetch(identity().address, tmp_path / "whole")) == files
    assert contents(reader.fetch(f"{identity().address}/checkpoints/1", tmp_path / "part")) == {
        "w.bin": bytes(range(256))
    }


def test_a_file_of_several_parts_comes_back_whole(place: Any, tmp_path: Path) -> None:
    data = os.urandom(40 * 2**20)
    store = place.open()
    publish(store, tmp_path / "s", {"weights.bin": data})
    assert (store.fetch(identity().address, tmp_path / "to") / "weights.bin").read_bytes() == data


def test_a_missing_result_or_folder_is_named(place: Any, tmp_path: Path) -> None:
    store = place.open()
    with pytest.raises(StoreError, match=f"{identity().address}: not in the store"):
        store.fetch(identity().address, tmp_path / "to")
    publish(store, tmp_path / "s", {"checkpoints/1/w": b"w"})
    with pytest.raises(StoreError, match="no folder 'checkpoints/9' in it; it holds checkpoints"):
        store.fetch(f"{identity().address}/checkpoints/9", tmp_path / "to")


def race(place: Any, racer: int, folder: Path, start: Any) -> None:
    for number in range(ROUNDS):
        store = place.open()
        attempt = store.open_attempt(identity(number).address, folder / f"{racer}-{number}")
        write(attempt.out, {f"{i}.txt": f"{attempt.id} {i}".encode() for i in range(3)})
        start.wait(timeout=20)
        manifest = store.publish(attempt, identity(number))
        store.close(attempt)
        (folder / f"seen-{number}-{racer}").write_text(manifest.attempt)


def test_of_racing_processes_one_wins_and_all_succeed(place: Any, tmp_path: Path) -> None:
    start = FORK.Barrier(RACERS)
    racers = [FORK.Process(target=race, args=(place, i, tmp_path, start), daemon=True) for i in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * RACERS
    store = place.open()
    for number in range(ROUNDS):
        seen = {path.read_text() for path in tmp_path.glob(f"seen-{number}-*")}
        assert len(seen) == 1, "all racers see the same winner"
        winner = seen.pop()
        got = contents(store.fetch(identity(number).address, tmp_path / f"read-{number}"))
        assert got == {f"{i}.txt": f"{winner} {i}".encode() for i in range(3)}
        assert attempts(store, number) == [winner], "the files of the others are gone"


def publish_for_ever(place: Any, scratch: Path, ready: Any) -> None:
    ready.set()
    publish(place.open(), scratch, {f"{i}/x.bin": bytes(100_000) for i in range(10)})
    time.sleep(60)


def test_killed_at_any_moment_nothing_half_written_is_ever_visible(place: Any, tmp_path: Path) -> None:
    store, cut_short = place.open(), 0
    for number in range(25):
        store.delete(identity().address)
        ready = FORK.Event()
        victim = FORK.Process(target=publish_for_ever, args=(place, tmp_path / f"k{number}", ready), daemon=True)
        victim.start()
        ready.wait()
        time.sleep(0.003 * number)
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        if store.manifest(identity().address) is None:
            cut_short += 1
        else:
            assert len(contents(store.fetch(identity().address, tmp_path / f"r{number}"))) == 10
    assert cut_short > 0, "no kill came before a publication: this run has shown nothing"
    store.delete(identity().address)
    published = publish(store, tmp_path / "again", {"x": b"x"})
    # A server may still be at a request of a killed client; what it then keeps goes with the next attempt.
    until = time.monotonic() + 20
    while place.files(f"{identity().address}/attempts") != [f"{published.attempt}/x"]:
        assert time.monotonic() < until, place.files(f"{identity().address}/attempts")
        store.close(store.open_attempt(identity().address, tmp_path / f"next-{time.monotonic_ns()}"))


DAMAGES = {
    "truncated": ("attempts/{attempt}/w.bin", b"01234", "file w.bin: expected 10 bytes, found 5 bytes"),
    "altered": ("attempts/{attempt}/w.bin", b"0123456780", "file w.bin: expected SHA-256 84d89877"),
    "missing": ("attempts/{attempt}/w.bin", None, "file w.bin: expected 10 bytes, found no such file"),
    "manifest truncated": ("manifest.json", b'{"schema_version": 1', "file manifest.json: expected a whole manifest"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_named_and_can_be_rebuilt(place: Any, tmp_path: Path, damage: str) -> None:
    name, data, message = DAMAGES[damage]
    store, address = place.open(), identity().address
    published = publish(store, tmp_path / "s", {"w.bin": b"0123456789"})
    place.overwrite(f"{address}/{name.format(attempt=published.attempt)}", data)
    with pytest.raises(StoreError, match=message) as caught:
        store.fetch(address, tmp_path / "to")
    assert f"result {address}" in str(caught.value)
    assert f"rlgen run WF --rebuild {address}" in str(caught.value)
    assert "\n" not in str(caught.value)
    store.delete(address)
    assert store.manifest(address) is None
    publish(store, tmp_path / "again", {"w.bin": b"0123456789"})
    assert contents(store.fetch(address, tmp_path / "to2")) == {"w.bin": b"0123456789"}


def test_a_manifest_with_another_setting_than_its_key_is_refused(place: Any, tmp_path: Path) -> None:
    store, address = place.open(), identity(7).address
    publish(store, tmp_path / "s", {"x": b"x"}, number=7)
    text = store.blobs.read(f"{address}/manifest.json") or b""
    place.overwrite(f"{address}/manifest.json", text.replace(b'"number":7', b'"number":8').replace(b": 7", b": 8"))
    with pytest.raises(StoreError, match="expected settings and inputs that hash to this address"):
        store.manifest(address)


def resume_of(place: Any, scratch: Path, attempt: str = "0a") -> StoredResume:
    return StoredResume(place.open(), identity().address, attempt, scratch)


def save(resume: StoredResume, scratch: Path, step: int) -> None:
    write(scratch / f"state-{step}", {"state.bin": f"state {step}".encode()})
    resume.save(step, scratch / f"state-{step}")


def test_a_point_in_use_stays_when_another_attempt_has_newer_ones(place: Any, tmp_path: Path) -> None:
    mine, other = resume_of(place, tmp_path / "mine", "0a"), resume_of(place, tmp_path / "other", "0b")
    save(mine, tmp_path, 1)
    point = other.newest()
    for step in (2, 3, 4):
        save(mine, tmp_path, step)
    assert point and (point.path / "state.bin").read_bytes() == b"state 1"


def test_the_newest_two_resume_points_are_kept(place: Any, tmp_path: Path) -> None:
    resume = resume_of(place, tmp_path)
    assert resume.newest() is None
    for step in (9, 10, 200):
        save(resume, tmp_path, step)
    names = place.open().blobs.children(f"{identity().address}/resume")
    assert [int(name.split("-")[0]) for name in names] == [10, 200]
    point = resume_of(place, tmp_path, attempt="0b").newest()
    assert point is not None
    assert (point.step, contents(point.path)) == (200, {"state.bin": b"state 200"})


@pytest.mark.parametrize("damaged", ["files/state.bin", "manifest.json"])
def test_a_damaged_newest_point_is_said_and_passed_over(
    place: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    resume = resume_of(place, tmp_path)
    save(resume, tmp_path, 10)
    save(resume, tmp_path, 20)
    root = f"{identity().address}/resume"
    newest = place.open().blobs.children(root)[-1]
    place.overwrite(f"{root}/{newest}/{damaged}", b"broken")
    point = resume.newest()
    assert point is not None
    assert (point.step, contents(point.path)) == (10, {"state.bin": b"state 10"})
    assert damaged.split("/")[-1] in capsys.readouterr().err
    save(resume, tmp_path, 20)
    again = resume.newest()
    assert again is not None
    assert again.step == 20


def save_for_ever(place: Any, scratch: Path, saved: Any) -> None:
    resume = resume_of(place, scratch)
    write(scratch / "state", {f"{i}.bin": bytes(200_000) for i in range(5)})
    for step in range(1, 10_000):
        resume.save(step, scratch / "state")
        saved.value = step


def test_killed_while_saving_there_is_always_a_whole_point(place: Any, tmp_path: Path) -> None:
    for number in range(6):
        place.open().delete(identity().address)
        saved = FORK.Value("i", 0)
        victim = FORK.Process(target=save_for_ever, args=(place, tmp_path / f"k{number}", saved), daemon=True)
        victim.start()
        while saved.value < 2:
            time.sleep(0.001)
        time.sleep(0.007 * number)
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        point = resume_of(place, tmp_path).newest()
        assert point is not None
        assert point.step >= saved.value
        assert len(contents(point.path)) == 5


def test_resume_points_are_gone_after_publication(place: Any, tmp_path: Path) -> None:
    save(resume_of(place, tmp_path, attempt="0b"), tmp_path, 5)
    publish(place.open(), tmp_path / "s", {"x": b"x"})
    resume_of(place, tmp_path).clear()
    assert place.open().blobs.children(f"{identity().address}/resume") == []


def test_a_parts_points_are_apart_and_go_with_the_others(place: Any, tmp_path: Path) -> None:
    resume = resume_of(place, tmp_path)
    part = resume.part("half")
    assert part.newest() is None
    save(part, tmp_path, 7)
    for step in (8, 9, 10):
        save(resume, tmp_path, step)
    again = resume_of(place, tmp_path, attempt="0b")
    assert [point.step for point in (again.newest(), again.part("half").newest()) if point] == [10, 7]
    assert again.part("other").newest() is None
    publish(place.open(), tmp_path / "s", {"x": b"x"})
    again.clear()
    assert resume.newest() is None
    assert part.newest() is None


def test_what_s3_refuses_is_one_line_and_what_is_away_is_tried_again(s3_server: Any, tmp_path: Path) -> None:
    good = {"MINIO_ACCESS_KEY": "rlgen-test", "MINIO_SECRET_KEY": "rlgen-test-secret"}
    refused = [(s3_server.uri("p").replace("results", "no-such-bucket"), good, "NoSuchBucket")]
    if s3_server.name == "MinIO":  # moto takes any credentials
        refused += [(s3_server.uri("p"), good | {"MINIO_SECRET_KEY": "wrong-secret"}, "SignatureDoesNotMatch")]
    for uri, environ, said in refused:
        store = open_store(uri, environ)
        with pytest.raises(UserError, match=said) as caught:
            publish(store, tmp_path / said, {"x": b"x"})
        assert "\n" not in str(caught.value)
    with pytest.raises(TryAgainError, match="not reachable"):
        open_store("s3://results/p?endpoint=http://127.0.0.1:1&region=us-east-1", good).manifest(identity().address)

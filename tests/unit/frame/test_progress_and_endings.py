"""Progress files, last words, and room on disk."""

import errno
import threading
import time
from pathlib import Path

from rlgen_k8s.stages.frame.ending import leave_message, no_room
from rlgen_k8s.stages.frame.progress import Progress
from rlgen_k8s.store import leases


def test_progress_is_never_seen_half_written_and_not_written_too_often(tmp_path: Path) -> None:
    file, seen, stop = tmp_path / "progress", set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if file.exists():
                seen.add(file.read_text())

    watcher = threading.Thread(target=watch)
    watcher.start()
    progress, until, done = Progress(file), time.monotonic() + 1.0, 0
    while time.monotonic() < until:
        done += 1
        progress(done, 10**9)
    progress.flush()
    time.sleep(0.05)
    stop.set()
    watcher.join()
    assert all(text.endswith("/1000000000\n") and text.split("/")[0].isdigit() for text in seen)
    assert len(seen) <= 7, "five a second, and the last state"
    assert file.read_text() == f"{done}/1000000000\n"


def test_progress_stays_within_what_argo_takes(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress")
    progress(0, 0)
    assert not (tmp_path / "progress").exists()
    progress(7, 5)
    assert (tmp_path / "progress").read_text() == "5/5\n"
    Progress(None)(1, 2)


def test_last_words_are_one_line_and_only_where_kubernetes_reads_them(tmp_path: Path) -> None:
    leave_message("what happened\nand a traceback", tmp_path / "no-container")
    assert not (tmp_path / "no-container").exists()
    (tmp_path / "termination-log").touch()
    leave_message("what happened\nand a traceback", tmp_path / "termination-log")
    assert (tmp_path / "termination-log").read_text() == "what happened\n"


def test_only_an_error_about_room_is_told_as_one(tmp_path: Path) -> None:
    assert no_room(FileNotFoundError(errno.ENOENT, "No such file"), [tmp_path], "sft") is None
    assert no_room(RuntimeError("a bug"), [tmp_path], "sft") is None
    assert "No space left" in str(no_room(OSError(errno.ENOSPC, "No space left on device"), [tmp_path], "sft"))


def test_a_lease_ends_with_its_function(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    end = leases.hold_folder(folder)
    folder.mkdir()
    assert not leases.is_abandoned(folder)
    end()
    assert leases.is_abandoned(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]

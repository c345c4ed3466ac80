"""Several files on their way at once, when something happens to one of them, or to whoever waits for them."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from rlgen_k8s.stages.frame.ending import TerminatedError, raise_on_signals
from rlgen_k8s.store.files import FileEntry
from rlgen_k8s.store.threads import AT_ONCE, several_at_once

FILES = tuple(FileEntry(path=str(number), size=1, sha256="0" * 64) for number in range(3 * AT_ONCE))


@pytest.fixture
def as_a_stage() -> Iterator[None]:
    """SIGTERM raises, as in a stage's process."""
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    raise_on_signals()
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def test_who_is_told_to_stop_does_not_wait_for_an_upload_and_starts_no_other(as_a_stage: None) -> None:
    begun, gate = [], threading.Event()

    def copy(entry: FileEntry) -> None:
        begun.append(entry.path)
        if len(begun) == AT_ONCE:
            os.kill(os.getpid(), signal.SIGTERM)
        gate.wait(30)

    began = time.monotonic()
    with pytest.raises(TerminatedError):
        several_at_once(copy, FILES)
    assert time.monotonic() - began < 5
    gate.set()
    assert len(begun) == AT_ONCE


def test_a_copy_that_fails_is_told_once_no_other_is_on_its_way() -> None:
    under_way: set[str] = set()

    def copy(entry: FileEntry) -> None:
        if entry.path == "1":
            raise OSError("refused")
        under_way.add(entry.path)
        time.sleep(0.2)
        under_way.remove(entry.path)

    with pytest.raises(OSError, match="refused"):
        several_at_once(copy, FILES)
    assert not under_way

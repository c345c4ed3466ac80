"""A model of a hub that breaks off: what came whole is not fetched again."""

import dataclasses
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rlgen_k8s.errors import TryAgainError
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.frame.resume import StoredResume
from rlgen_k8s.stages.model.run import run
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.open import open_store

Make = Callable[..., Context[Any]]
SETTINGS = ModelSettings(source="hub", repository="made/up", revision="main")
IDENTITY = Identity(
    stage="model", version=STAGES["model"].version, settings=SETTINGS.model_dump(mode="json"), inputs={}
)
FORK = multiprocessing.get_context("fork")
MB = 10**6
CHUNK = 10 * 2**20
"""Of the hub's library: what it writes, and counts, at once."""
WEIGHTS = {"model-1.safetensors": 3 * MB, "model-2.safetensors": 25 * MB, "model-3.safetensors": 2 * MB}


@pytest.fixture
def hub(model: Path, tmp_path: Path, server: ModuleType) -> Iterator[Any]:
    """It has one model, with weights in three files."""
    folder = tmp_path / "hub/models/made/up"
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for name, size in WEIGHTS.items():
        (folder / name).write_bytes(os.urandom(size))
    with server.serve(tmp_path / "hub") as endpoint:
        server.Hub.endpoint = endpoint
        yield server.Hub


@pytest.fixture
def attempt(hub: Any, server: ModuleType, context: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An attempt at the model by its name, on the store of all of them; progress goes to the list."""
    server.point_to(hub.endpoint, monkeypatch)

    def make(name: str, progress: list[tuple[int, int]], **settings: Any) -> Context[ModelSettings]:
        points = StoredResume(open_store(str(tmp_path / "store")), IDENTITY.address, name, tmp_path / f"points-{name}")
        made = context(SETTINGS.model_copy(update=settings), name=name, resume=points)
        return dataclasses.replace(made, progress=lambda done, total: progress.append((done, total)))

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wanted(hub: Any) -> dict[str, bytes]:
    """What the stage takes of the hub's model."""
    files = contents(hub.root / "models/made/up")
    return {name: data for name, data in files.items() if not name.endswith(".bin")}


def before(hub: Any, name: str) -> int:
    """Bytes of the files that come before `name`."""
    return sum(len(data) for other, data in wanted(hub).items() if other < name)


@pytest.mark.parametrize(("where", "more"), [("in the middle of a file", 12 * MB), ("between two files", 0)])
def test_after_a_break_only_what_is_missing_is_fetched(hub: Any, attempt: Any, where: str, more: int) -> None:
    broken = "model-2.safetensors"
    hub.left = before(hub, broken) + more
    with pytest.raises(TryAgainError, match=rf"hub {hub.endpoint}, model made/up: .*403"):
        run(attempt("0a", []))
    whole = [name for name in wanted(hub) if name < broken]
    assert sorted(hub.sent) == sorted(f"made/up/{name}" for name in whole + [broken] * bool(more))
    hub.left = None
    hub.sent.clear()
    again = attempt("0b", [])
    run(again)
    assert contents(again.out) == wanted(hub)
    missing = {f"made/up/{name}": len(data) for name, data in wanted(hub).items() if name not in whole}
    assert hub.sent == missing


def test_a_lost_connection_is_taken_up_where_it_broke(hub: Any, attempt: Any) -> None:
    hub.left, hub.after = before(hub, "model-2.safetensors") + 12 * MB, "goes on"
    made = attempt("0a", [])
    run(made)
    assert contents(made.out) == wanted(hub)
    assert hub.sent["made/up/model-2.safetensors"] < 25 * MB + CHUNK


def test_what_xet_s_client_cannot_fetch_is_tried_again(hub: Any, attempt: Any) -> None:
    hub.xet = True
    with pytest.raises(TryAgainError, match=r"model made/up: .*CAS Client Error.*404") as raised:
        run(attempt("0a", []))
    assert "\n" not in str(raised.value)


def test_progress_moves_within_a_file_and_counts_what_was_there(hub: Any, attempt: Any) -> None:
    first: list[tuple[int, int]] = []
    second: list[tuple[int, int]] = []
    run(attempt("0a", first))
    run(attempt("0b", second))
    assert first == sorted(first)
    assert {total for _, total in first} == {31}
    assert {4, 14, 24, 29, 31} <= {done for done, _ in first}
    assert second[-1] == first[-1] == (31, 31)


def test_a_file_that_is_replaced_leaves_the_resume_point_whole(hub: Any, attempt: Any) -> None:
    for name in ("0a", "0b", "0c"):
        made = attempt(name, [], chat_template="chatml")
        run(made)
        assert "<|im_start|>" in (made.out / "chat_template.jinja").read_text()
    assert hub.sent == {f"made/up/{name}": len(data) for name, data in wanted(hub).items()}


def test_killed_in_the_middle_it_goes_on_with_the_file_that_is_missing(hub: Any, attempt: Any, tmp_path: Path) -> None:
    hub.left, hub.after = before(hub, "model-2.safetensors") + 12 * MB, "hangs"
    victim = FORK.Process(target=lambda: run(attempt("0a", [])))
    victim.start()
    assert hub.silent.wait(60)
    victim.kill()
    victim.join()
    hub.left, hub.after = None, "refuses"
    hub.sent.clear()
    again = attempt("0b", [])
    run(again)
    assert contents(again.out) == wanted(hub)
    assert sorted(hub.sent) == sorted(f"made/up/{name}" for name in wanted(hub) if name >= "model-2.safetensors")

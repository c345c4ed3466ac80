"""The stage `stream` in several processes (gloo): to the byte what it makes in one, wherever it is killed."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.stream.run import run
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.stages.stream.team import PROCESSES

MODELS, LOGGED = 3, 5
CROSSCODERS: dict[str, dict[str, Any]] = {
    "sft-1": {"models": ("base", "tuned"), "reads": ("base", "sft")},
    "joint": {"models": ("base", "sft", "rl"), "reads": ("base", "sft", "rl")},
    "rl-1": {"models": ("base", "tuned"), "reads": ("base", "rl")},
}


class KilledError(Exception):
    """Stands where SIGKILL would."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """In this process too, as in each of several: bits are those of a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["relu", "batch_topk"])
def context(
    request: pytest.FixtureRequest, corpus: Path, model_folders: dict[str, Path]
) -> Callable[[Path], Context[StreamSettings]]:
    crosscoder = CrosscoderSettings(
        activation=request.param,
        active_features=8,
        dead_tokens=500,
        n_features=64,
        batch=256,
        learning_rate=1e-3,
        epochs=2,
        log_interval=LOGGED,
        resume_interval=10,
        splice_sequences=5,
        buffer_sequences=40,
    )
    settings = StreamSettings(
        harvest=HarvestSettings(batch=10, scale_sequences=25), crosscoder=crosscoder, crosscoders=CROSSCODERS
    )
    inputs = {"corpus": corpus, **{f"model-{name}": folder for name, folder in model_folders.items()}}
    return lambda out: local_context(settings, inputs, out)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_killed_in_two_processes_and_gone_on_with_in_three_it_publishes_the_bytes_of_one(
    context: Callable[[Path], Context[StreamSettings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked: dict[str, set[tuple[str, int | None]]] = {"one": set(), "more": set()}

    def track(to: str) -> Callable[[Mapping[str, float], int | None], None]:
        return lambda metrics, step: tracked[to].update((f"{name}={value!r}", step) for name, value in metrics.items())

    run(replace(context(tmp_path / "one"), metrics=track("one")))
    steps = json.loads((tmp_path / "one" / "joint" / "metrics.json").read_text())["steps"]

    def die(done: int, _total: int) -> None:
        if done >= MODELS + 25:
            raise KilledError

    monkeypatch.setenv(PROCESSES, "2")
    killed = replace(context(tmp_path / "more"), metrics=track("more"))
    with pytest.raises(KilledError):
        run(replace(killed, progress=die))

    monkeypatch.setenv(PROCESSES, "3")
    again = replace(killed, out=tmp_path / "again", scratch=tmp_path / "scratch")
    again.out.mkdir()
    again.scratch.mkdir()
    seen: list[tuple[int, int]] = []
    run(replace(again, progress=lambda *now: seen.append(now)))
    assert files(again.out) == files(tmp_path / "one")
    assert tracked["more"] == tracked["one"]
    assert seen == sorted(set(seen))
    # From the newest resume point on: that of step 20.
    trained = [done - MODELS for done, _ in seen if MODELS < done <= MODELS + steps]
    assert trained == [*range(25, steps, LOGGED), steps]
    goal = MODELS + steps + len(CROSSCODERS)
    assert seen[-1] == (goal, goal)

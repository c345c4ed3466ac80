"""The stage `stream` in several processes (gloo) and in several pods: to the byte what it makes in one, wherever it is
killed."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.crosscoder.stream_pod import KILLED, Pod, pod

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.stream.run import run
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.stages.stream.team import PROCESSES
from rlgen_k8s.tracking.server import free_port

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


@pytest.mark.parametrize("context", ["relu"], indirect=True)
def test_two_pods_killed_and_started_again_leave_with_the_first_the_bytes_of_one(
    context: Callable[[Path], Context[StreamSettings]], tmp_path: Path
) -> None:
    expected: list[tuple[Mapping[str, float], int | None]] = []
    run(replace(context(tmp_path / "one"), metrics=lambda *logged: expected.append(logged)))
    steps = json.loads((tmp_path / "one" / "joint" / "metrics.json").read_text())["steps"]

    def together(attempt: str, stop_at: int | None) -> list[int | None]:
        """The exit codes of both."""
        address, given = f"127.0.0.1:{free_port(None)}", context(tmp_path / "inputs")
        spawn = multiprocessing.get_context("spawn")
        pods = [
            spawn.Process(
                target=pod, args=(Pod(rank, 2, address, given.settings, given.inputs, tmp_path, attempt, stop_at),)
            )
            for rank in range(2)
        ]
        for one in pods:
            one.start()
        pods[0].join()
        if stop_at:
            pods[1].kill()  # as a JobSet ends the others
        pods[1].join()
        return [one.exitcode for one in pods]

    assert together("killed", stop_at=MODELS + 25)[0] == KILLED
    assert together("again", stop_at=None) == [0, 0]

    first, second = (tmp_path / f"again-{rank}" for rank in range(2))
    assert files(first) == files(tmp_path / "one")
    assert files(second) == {}
    seen = [json.loads(line) for line in (tmp_path / "told-0").read_text().splitlines()]
    logged = {(json.dumps(metrics), step) for kind, metrics, step in seen if kind == "metrics"}
    assert logged == {(json.dumps(metrics), step) for metrics, step in expected}
    goal = MODELS + steps + len(CROSSCODERS)
    assert [each[1:] for each in seen if each[0] == "progress"][-1] == [goal, goal]
    assert not (tmp_path / "told-1").exists()

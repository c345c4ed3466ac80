"""The stage `stream`: all crosscoders in one pass, each to the bit what the stage `crosscoder` makes of a harvest."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlgen_k8s.crosscoder import load_crosscoder, normalized_relative_norms
from rlgen_k8s.stages.contract import Context, Resume, ResumePoint
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.crosscoder.run import run as run_crosscoder
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.harvest.run import run as run_harvest
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.stream.run import run
from rlgen_k8s.stages.stream.settings import StreamSettings

HARVEST = HarvestSettings(batch=10, scale_sequences=25)
CROSSCODER = CrosscoderSettings(
    n_features=64,
    batch=256,
    learning_rate=1e-3,
    epochs=2,
    log_interval=10,
    resume_interval=15,
    splice_sequences=5,
    buffer_sequences=40,
)
CROSSCODERS: dict[str, dict[str, Any]] = {
    "sft-1": {"models": ("base", "tuned"), "reads": ("base", "sft")},
    "joint": {"models": ("base", "sft", "rl"), "reads": ("base", "sft", "rl")},
    "joint-seed1": {"models": ("base", "sft", "rl"), "reads": ("base", "sft", "rl"), "start_seed": 1},
    "noise": {"models": ("base", "copy"), "reads": ("base", "base"), "start_apart": True},
}


class KilledError(Exception):
    """Stands where SIGKILL would."""


@pytest.fixture(scope="module")
def context(corpus: Path, model_folders: dict[str, Path]) -> Callable[[Path], Context[StreamSettings]]:
    settings = StreamSettings(harvest=HARVEST, crosscoder=CROSSCODER, crosscoders=CROSSCODERS)
    inputs = {"corpus": corpus, **{f"model-{name}": folder for name, folder in model_folders.items()}}
    return lambda out: local_context(settings, inputs, out)


@pytest.fixture(scope="module")
def whole(context: Callable[[Path], Context[StreamSettings]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stream") / "whole"
    run(context(out))
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_crosscoder_is_to_the_byte_the_one_that_a_stored_harvest_gives(
    context: Callable[[Path], Context[StreamSettings]],
    whole: Path,
    corpus: Path,
    model_folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    run_harvest(local_context(HARVEST, {"corpus": corpus, **model_folders}, tmp_path / "harvest"))
    settings = context(tmp_path / "unused").settings
    for name, asked in settings.crosscoders.items():
        inputs = {"corpus": corpus}
        for label, model in zip(asked.models, asked.reads, strict=True):
            inputs |= {f"model-{label}": model_folders[model], f"activations-{label}": tmp_path / "harvest" / model}
        run_crosscoder(local_context(settings.of(name), inputs, tmp_path / name))
        assert files(whole / name) == files(tmp_path / name)
    assert {path.name for path in whole.iterdir()} == set(CROSSCODERS)


def test_crosscoders_are_what_was_asked_for(whole: Path) -> None:
    coders = {name: load_crosscoder(whole / name) for name in CROSSCODERS}
    assert {name: coder.models for name, coder in coders.items()} == {
        name: asked["models"] for name, asked in CROSSCODERS.items()
    }
    first, second = (coders[name].decoder for name in ("joint", "joint-seed1"))
    assert float(torch.cosine_similarity(first, second, dim=1).mean()) < 0.5
    # From a common start the copy's half stays base's, and NRN 0.5 to rounding (see test_noise).
    nrn = normalized_relative_norms(coders["noise"].decoder_by_model)
    assert float((nrn - 0.5).abs().max()) > 1e-3
    for name in CROSSCODERS:
        report = json.loads((whole / name / "metrics.json").read_text())
        assert all(0.1 < measures["variance_explained"] < 1 for measures in report["models"].values())


@pytest.mark.parametrize("at", [9, 31, 49])
def test_killed_and_run_again_publishes_the_same_bytes(
    context: Callable[[Path], Context[StreamSettings]], whole: Path, tmp_path: Path, at: int
) -> None:
    steps = json.loads((whole / "joint" / "metrics.json").read_text())["steps"]
    goal = 3 + steps + len(CROSSCODERS)

    def die(done: int, _total: int) -> None:
        if done >= at:
            raise KilledError

    killed = context(tmp_path / "killed")
    with pytest.raises(KilledError):
        run(replace(killed, progress=die))
    again = replace(killed, out=tmp_path / "again", scratch=tmp_path / "scratch")
    again.out.mkdir()
    again.scratch.mkdir()
    seen: list[tuple[int, int]] = []
    run(replace(again, progress=lambda *now: seen.append(now)))
    assert files(again.out) == files(whole)
    assert seen[:3] == [(1, goal), (2, goal), (3, goal)]
    resumed = (at - 3) // 15 * 15  # the newest resume point before it died
    assert seen[3] == (3 + min(resumed // 10 * 10 + 10, steps), goal)
    assert seen[-1] == (goal, goal)


@dataclass(frozen=True)
class Watched:
    """Real resume points, those of parts too; instead of saving one of the part `killed_at` the stage dies."""

    points: Resume
    saved: list[str]
    killed_at: str = ""
    name: str = "training"

    def newest(self) -> ResumePoint | None:
        return self.points.newest()

    def save(self, step: int, folder: Path) -> None:
        if self.name == self.killed_at:
            raise KilledError
        self.saved.append(self.name)
        self.points.save(step, folder)

    def part(self, name: str) -> "Watched":
        return replace(self, points=self.points.part(name), name=name)


def test_killed_while_measuring_it_neither_trains_again_nor_measures_what_is_measured(
    context: Callable[[Path], Context[StreamSettings]], whole: Path, tmp_path: Path
) -> None:
    steps = json.loads((whole / "joint" / "metrics.json").read_text())["steps"]
    killed = context(tmp_path / "killed")
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights.sha256").write_text("of another attempt's weights")
    killed.resume.part("joint").save(steps, other)
    saved: list[str] = []
    with pytest.raises(KilledError):
        run(replace(killed, resume=Watched(killed.resume, saved, killed_at="joint-seed1")))
    assert saved == ["training"] * (steps // 15 + (steps % 15 > 0)) + ["sft-1", "joint"]

    points = sorted((tmp_path / "killed.resume" / "by-hand" / "resume").glob("*/files"))
    before, trained = (sum(map(len, files(point).values())) for point in points)
    assert trained < 0.4 * before  # of weights and two moments the weights
    again = replace(killed, out=tmp_path / "again", scratch=tmp_path / "scratch")
    again.out.mkdir()
    again.scratch.mkdir()
    saved, seen, figures = [], [], {}
    run(
        replace(
            again,
            resume=Watched(killed.resume, saved),
            progress=lambda done, _total: seen.append(done),
            metrics=lambda found, _step: figures.update(found),
        )
    )
    assert saved == ["joint-seed1", "noise"]
    assert seen == [1, 2, 3, *range(3 + steps + 1, 3 + steps + 5)]
    assert files(again.out) == files(whole)
    for name in CROSSCODERS:
        report = json.loads((whole / name / "metrics.json").read_text())
        assert figures[f"{name}/l0"] == report["l0"]
        for model, measures in report["models"].items():
            assert figures[f"{name}/loss_{model}"] == measures["loss"]


def test_curves_are_tracked_for_each_crosscoder_and_of_activations_only_the_evaluation_shard_is_on_disk(
    context: Callable[[Path], Context[StreamSettings]], whole: Path, corpus: Path, tmp_path: Path
) -> None:
    tracked: dict[str, list[float]] = {}

    def track(metrics: Mapping[str, float], step: int | None) -> None:
        for name, value in metrics.items():
            if step is not None:
                tracked.setdefault(name, []).append(value)

    made = context(tmp_path / "out")
    run(replace(made, metrics=track))
    for name in CROSSCODERS:
        curve = [json.loads(line) for line in (whole / name / "curve.jsonl").read_text().splitlines()]
        assert tracked[f"{name}/loss"] == [point["loss"] for point in curve]
    kept = np.count_nonzero(open_tokens(corpus, "evaluation") != load_corpus_info(corpus).separator)
    shards = list(made.scratch.rglob("*.npy"))
    assert sorted(f"{path.parent.name}/{path.name}" for path in shards) == [
        f"{name}/evaluation.npy" for name in ("base", "rl", "sft")
    ]
    assert {np.load(path).shape for path in shards} == {(kept, 32)}
    assert not list(made.out.rglob("*.npy"))

"""The training loop of the stages: the engine's steps with curves, progress and resume points around them."""

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from rlgen_k8s.crosscoder import Crosscoder, Trainer
from rlgen_k8s.crosscoder.step import StepResult
from rlgen_k8s.crosscoder.stream import JointTraining, Ranks, Recipe, Stream
from rlgen_k8s.crosscoder.stream.ranks import ALONE
from rlgen_k8s.crosscoder.stream.sources import Source
from rlgen_k8s.crosscoder.stream.together import saved_scales
from rlgen_k8s.crosscoder.training import schedule
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.crosscoder.wanted import Wanted

CURVE = "curve.jsonl"


@dataclass(frozen=True)
class Fitted:
    """What a training leaves."""

    crosscoders: dict[str, Crosscoder]
    steps: int
    tokens: int
    """Training tokens, each of them seen once an epoch."""


def fit(
    context: Context[Any],
    source: Source,
    recipe: Recipe,
    wanted: Mapping[str, Wanted],
    settings: CrosscoderSettings,
    progress: Callable[[int, int], None],
    ranks: Ranks = ALONE,
    own: Collection[str] | None = None,
) -> Fitted:
    """Train all of `wanted` to the end, from the newest resume point if there is one; leaves `curve.jsonl` of each.

    `settings` says how often to log and to save; `progress(step, steps)`. Of several processes, `ranks`, each trains
    those that it calls its `own`, and what is said here of all is of these.
    """
    members = {name: one.member for name, one in wanted.items()}
    if own is not None:
        wanted = {name: one for name, one in wanted.items() if name in own}
    read = {model for one in wanted.values() for model in one.reads}
    models = tuple(model for model in source.models if model in read)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    point = context.resume.newest()
    scales = saved_scales(point.path) if point else None
    stream = Stream(source, recipe, scales=scales, device=device, ranks=ranks, models=models)
    training = JointTraining(stream, members, device, own)
    if point:
        training.restore(point.path)
        for name, one in wanted.items():
            shutil.copyfile(point.path / name / CURVE, one.out / CURVE)
    total = training.total_steps
    with ExitStack() as stack:
        curves = {name: stack.enter_context((one.out / CURVE).open("a")) for name, one in wanted.items()}
        for results in training.run():
            step = training.step
            if step % settings.log_interval == 0 or step == total:
                for name, result in results.items():
                    _log(context, wanted[name].prefix, training.trainers[name], result, curves[name])
                progress(step, total)
            if step % settings.resume_interval == 0 or step == total:
                for curve in curves.values():
                    curve.flush()
                _save_point(context, training, wanted)
    crosscoders = {name: trainer.crosscoder for name, trainer in training.trainers.items()}
    return Fitted(crosscoders, total, stream.order.n_tokens)


def _log(context: Context[Any], prefix: str, trainer: Trainer, result: StepResult, curve: TextIO) -> None:
    """One point of the curves; losses are those of this batch, before its update."""
    now = schedule(trainer.plan, trainer.step - 1, trainer.total_steps)
    squared_error, sparsity = float(result.squared_error), float(result.sparsity)
    point = {
        "loss": squared_error + now.sparsity_weight * sparsity + float(result.auxiliary),
        "squared_error": squared_error,
        "sparsity": sparsity,
        "l0": float(torch.count_nonzero(result.features) / len(result.features)),
        "sparsity_weight": now.sparsity_weight,
        "learning_rate": now.learning_rate,
    }
    curve.write(json.dumps({"step": trainer.step, **point}) + "\n")
    context.metrics({prefix + name: value for name, value in point.items()}, trainer.step)


def _save_point(context: Context[Any], training: JointTraining, wanted: Mapping[str, Wanted]) -> None:
    with tempfile.TemporaryDirectory(dir=context.scratch) as name:
        folder = Path(name)
        training.save(folder)
        for of, one in wanted.items():
            shutil.copyfile(one.out / CURVE, folder / of / CURVE)
        context.resume.save(training.step, folder)

"""The training loop of the stage: the engine's steps with curves, progress and resume points around them."""

import json
import shutil
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TextIO

import torch

from rlgen_k8s.crosscoder import JointActivations, Trainer, TrainingPlan
from rlgen_k8s.crosscoder.step import StepResult
from rlgen_k8s.crosscoder.training import schedule
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings

CURVE = "curve.jsonl"


def fit(context: Context[CrosscoderSettings], data: JointActivations) -> Trainer:
    """Train to the end, from the newest resume point if there is one; leaves `curve.jsonl` in `context.out`."""
    settings = context.settings
    plan = TrainingPlan(**{field.name: getattr(settings, field.name) for field in fields(TrainingPlan)})
    trainer = Trainer(data, plan, "cuda" if torch.cuda.is_available() else "cpu")
    curve_path = context.out / CURVE
    if point := context.resume.newest():
        trainer.restore(point.path)
        shutil.copyfile(point.path / CURVE, curve_path)
    with curve_path.open("a") as curve:
        while trainer.step < trainer.total_steps:
            result = trainer.advance()
            if trainer.step % settings.log_interval == 0 or trainer.step == trainer.total_steps:
                _log(context, trainer, result, curve)
                context.progress(trainer.step, trainer.total_steps)
            if trainer.step % settings.resume_interval == 0 and trainer.step < trainer.total_steps:
                curve.flush()
                _save_point(context, trainer, curve_path)
    return trainer


def _log(context: Context[CrosscoderSettings], trainer: Trainer, result: StepResult, curve: TextIO) -> None:
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
    context.metrics(point, trainer.step)


def _save_point(context: Context[CrosscoderSettings], trainer: Trainer, curve: Path) -> None:
    with tempfile.TemporaryDirectory(dir=context.scratch) as name:
        folder = Path(name)
        trainer.save(folder)
        shutil.copyfile(curve, folder / CURVE)
        context.resume.save(trainer.step, folder)

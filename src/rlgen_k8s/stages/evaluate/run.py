"""The stage: one model on all tasks, every sample kept."""

import gc
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from rlgen_k8s.lm.engines import EngineName
from rlgen_k8s.lm.generate import Sampling
from rlgen_k8s.lm.harness.model import HarnessModel, load_harness_model
from rlgen_k8s.lm.harness.names import TaskName
from rlgen_k8s.lm.harness.samples import write_samples
from rlgen_k8s.lm.harness.score import Sample, Scores, score
from rlgen_k8s.lm.harness.tasks import Maths, load_tasks
from rlgen_k8s.lm.harness.vllm_model import VllmModel
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings


def run(context: Context[EvaluateSettings]) -> None:
    """Score `model` on the tasks in `mirror`: writes `results.json` and `samples.parquet`."""
    settings = context.settings
    tasks = load_tasks(
        (*settings.multiple_choice, *settings.maths), context.inputs["mirror"], context.scratch, asked(settings)
    )
    answers = {
        name: min(len(task.eval_docs), settings.limit or len(task.eval_docs)) * task.config.repeats
        for name, task in tasks.items()
    }
    total, done = sum(answers.values()), 0
    scores: dict[str, Scores] = {}
    samples: list[Sample] = []
    model: HarnessModel | VllmModel | None = None
    groups: list[tuple[Sequence[TaskName], EngineName]] = [
        (settings.multiple_choice, "hf"),
        (settings.maths, settings.engine),
    ]
    for group, engine in groups:
        if not group:
            continue
        if model is None or engine == "vllm":
            model = None  # two need not fit the GPU
            model = load(engine, context.inputs["model"], settings)
        size = sum(answers[name] for name in group)
        model.on_progress = partial(_progress, context, done, size, total)
        found, rows = score(model, {name: tasks[name] for name in group}, limit=settings.limit, seed=settings.seed)
        scores |= found
        samples += rows
        done += size
        if isinstance(model, VllmModel):
            context.metrics({"tokens_per_second": model.tokens_per_second}, None)
    results = {name: asdict(figures) for name, figures in scores.items()}
    (context.out / "results.json").write_text(json.dumps(results, indent=1))
    write_samples(context.out / "samples.parquet", samples)
    context.metrics({f"{name}/{figures.metric}": figures.mean for name, figures in scores.items()}, None)


def load(engine: EngineName, folder: Path, settings: EvaluateSettings) -> HarnessModel | VllmModel:
    """The model in `folder` for the harness, once the GPU is free of the one before."""
    gc.collect()
    torch.cuda.empty_cache()
    if engine == "vllm":
        return VllmModel(folder, sequences=settings.sequences_per_generation, seed=settings.seed)
    return load_harness_model(
        folder,
        tokens_per_batch=settings.tokens_per_batch,
        sequences_per_generation=settings.sequences_per_generation,
    )


def asked(settings: EvaluateSettings) -> Maths:
    """How the settings ask maths problems."""
    return Maths(
        repeats={
            "math500": settings.repeats_math500,
            "aime24": settings.repeats_aime,
            "aime25": settings.repeats_aime,
        },
        sampling=Sampling(settings.temperature, settings.top_p, settings.top_k, settings.max_new_tokens),
        instruction=settings.instruction,
    )


def _progress(context: Context[EvaluateSettings], done: int, size: int, total: int, share: float) -> None:
    context.progress(round(done + share * size), total)

"""The stage: one model on all tasks, every sample kept."""

import json
from dataclasses import asdict
from functools import partial

from rlgen_k8s.lm.generate import Sampling
from rlgen_k8s.lm.harness.model import load_harness_model
from rlgen_k8s.lm.harness.samples import write_samples
from rlgen_k8s.lm.harness.score import Sample, Scores, score
from rlgen_k8s.lm.harness.tasks import Maths, load_tasks
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings


def run(context: Context[EvaluateSettings]) -> None:
    """Score `model` on the tasks in `mirror`: writes `results.json` and `samples.parquet`."""
    settings = context.settings
    tasks = load_tasks(
        (*settings.multiple_choice, *settings.maths), context.inputs["mirror"], context.scratch, asked(settings)
    )
    model = load_harness_model(
        context.inputs["model"],
        tokens_per_batch=settings.tokens_per_batch,
        sequences_per_generation=settings.sequences_per_generation,
    )
    answers = {
        name: min(len(task.eval_docs), settings.limit or len(task.eval_docs)) * task.config.repeats
        for name, task in tasks.items()
    }
    total, done = sum(answers.values()), 0
    scores: dict[str, Scores] = {}
    samples: list[Sample] = []
    for group in (settings.multiple_choice, settings.maths):
        if not group:
            continue
        size = sum(answers[name] for name in group)
        model.on_progress = partial(_progress, context, done, size, total)
        found, rows = score(model, {name: tasks[name] for name in group}, limit=settings.limit, seed=settings.seed)
        scores |= found
        samples += rows
        done += size
    results = {name: asdict(figures) for name, figures in scores.items()}
    (context.out / "results.json").write_text(json.dumps(results, indent=1))
    write_samples(context.out / "samples.parquet", samples)
    context.metrics({f"{name}/{figures.metric}": figures.mean for name, figures in scores.items()}, None)


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

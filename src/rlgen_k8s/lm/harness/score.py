"""Score a model on tasks with the harness and keep every sample's outcome."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from unittest.mock import patch

import lm_eval.api.task
import lm_eval.utils
import torch
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from tqdm import tqdm

from rlgen_k8s.lm.harness.names import is_maths


@dataclass(frozen=True)
class Sample:
    """One item of a task, as the model answered it."""

    task: str
    doc_id: int
    outcome: float
    """1 right, 0 wrong; for maths the share of right responses."""
    outcome_normalized: float | None
    """The harness's `acc_norm`, where the task has it: log-likelihoods per character."""
    prompt: str
    """What the model was given, up to the answer."""
    choice: int
    """The option with the highest log-likelihood; -1 for maths."""
    gold: str
    """The right option's text, or the right final answer."""
    loglikelihoods: list[float]
    """One for each option; empty for maths."""
    responses: list[str]
    """Empty for multiple choice."""
    correct: list[float]
    """Outcome of each response; empty for multiple choice."""


@dataclass(frozen=True)
class Scores:
    """A task's figures."""

    metric: str
    n: int
    mean: float
    stderr: float
    """Of the mean over samples; 0 for a single sample."""
    chance: float
    """Expected for an answer at random."""
    mean_normalized: float | None
    """`acc_norm`, where the task has it."""


def score(
    model: LM,
    tasks: Mapping[str, ConfigurableTask],
    *,
    docs: Mapping[str, Sequence[int]] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, Scores], list[Sample]]:
    """`model` on `tasks`: on the samples `docs` (ids by task), or the first `limit`, or all.

    The tasks are all of multiple choice or all of maths: only the latter go through the chat template.
    """
    maths = is_maths(next(iter(tasks)))
    chosen = None if docs is None else {name: sorted(docs[name]) for name in tasks}  # the harness reads them in order
    torch.manual_seed(seed)
    with _templates_compiled_once():
        # bootstrap_iters: any positive number makes it report the closed-form standard error of a mean.
        found = evaluate(
            model, {"tasks": dict(tasks)}, limit=limit, samples=chosen, bootstrap_iters=1, apply_chat_template=maths
        )
        samples = {name: [_sample(tasks[name], name, entry) for entry in found["samples"][name]] for name in tasks}
    scores = {name: _scores(found["results"][name], samples[name]) for name in tasks}
    return scores, [sample for rows in samples.values() for sample in rows]


@contextmanager
def _templates_compiled_once() -> Iterator[None]:
    """The harness compiles a task's templates anew for each document, which takes longer than a small model does."""
    environment = lm_eval.utils.env
    with (
        patch.object(environment, "from_string", functools.cache(environment.from_string)),
        patch.object(lm_eval.api.task, "tqdm", functools.partial(tqdm, disable=True)),  # our own progress is shown
    ):
        yield


def _sample(task: ConfigurableTask, name: str, entry: Mapping[str, Any]) -> Sample:
    common: dict[str, Any] = {"task": name, "doc_id": int(entry["doc_id"]), "prompt": entry["arguments"][0][0]}
    if is_maths(name):
        return Sample(
            **common,
            outcome=float(entry["average_at_k"]),
            outcome_normalized=None,
            choice=-1,
            gold=str(entry["target"]),
            loglikelihoods=[],
            responses=list(entry["filtered_resps"][0]),
            correct=entry["correct"],
        )
    loglikelihoods = [float(answer[0]) for answer in entry["filtered_resps"]]
    options, target = task.doc_to_choice(entry["doc"]), entry["target"]
    return Sample(
        **common,
        outcome=float(entry["acc"]),
        outcome_normalized=float(entry["acc_norm"]) if "acc_norm" in entry else None,
        choice=max(range(len(loglikelihoods)), key=loglikelihoods.__getitem__),
        gold=str(options[target] if isinstance(target, int) else target),
        loglikelihoods=loglikelihoods,
        responses=[],
        correct=[],
    )


def _scores(found: Mapping[str, Any], samples: Sequence[Sample]) -> Scores:
    figures = {key.partition(",")[0]: value for key, value in found.items()}  # "acc,none" is metric and filter
    metric = "average_at_k" if "average_at_k" in figures else "acc"
    options = [len(sample.loglikelihoods) for sample in samples]
    stderr = figures[f"{metric}_stderr"]
    return Scores(
        metric=metric,
        n=len(samples),
        mean=float(figures[metric]),
        stderr=0.0 if stderr == "N/A" else float(stderr),
        chance=fmean(1 / n for n in options) if all(options) else 0.0,
        mean_normalized=float(figures["acc_norm"]) if "acc_norm" in figures else None,
    )

"""Ask a model a task's questions with the harness, and keep every sample's outcome."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from rlgen_k8s.lm.harness.samples import Sample


def score(
    model: LM,
    tasks: Mapping[str, ConfigurableTask],
    *,
    docs: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> list[Sample]:
    """`model` on `tasks`: on the samples `docs` (ids by task), or all.

    The tasks are all of multiple choice or all of maths: only the latter go through the chat template.
    """
    maths = is_maths(next(iter(tasks)))
    chosen = None if docs is None else {name: sorted(docs[name]) for name in tasks}  # the harness reads them in order
    torch.manual_seed(seed)
    with _templates_compiled_once():
        found = evaluate(model, {"tasks": dict(tasks)}, samples=chosen, bootstrap_iters=0, apply_chat_template=maths)
        return [_sample(tasks[name], name, entry) for name in tasks for entry in found["samples"][name]]


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

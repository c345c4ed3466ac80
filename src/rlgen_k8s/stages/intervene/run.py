"""The stage: one model with some features edited, scored by the harness beside its controls."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lm_eval.api.task import ConfigurableTask

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.saving import load_crosscoder
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.harness.model import HarnessModel, load_harness_model
from rlgen_k8s.lm.harness.score import score
from rlgen_k8s.lm.harness.tasks import load_tasks
from rlgen_k8s.lm.middle import edit_residual, middle_layer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.intervene.choice import Choice, choose
from rlgen_k8s.stages.intervene.conditions import MODEL, Condition, conditions, target_of
from rlgen_k8s.stages.intervene.contrasts import contrasts
from rlgen_k8s.stages.intervene.edits import feature_edit
from rlgen_k8s.stages.intervene.loss import on_text, ordinary_text
from rlgen_k8s.stages.intervene.results import Alone, LossRow, Outcome, Outcomes, Results, alone, loss_row, rows_of
from rlgen_k8s.stages.intervene.settings import InterveneSettings

SAMPLES = pa.schema(
    [
        ("condition", pa.string()),
        ("kind", pa.string()),
        ("task", pa.string()),
        ("doc_id", pa.int32()),
        ("before", pa.float64()),
        ("after", pa.float64()),
        ("choice_before", pa.int32()),
        ("choice_after", pa.int32()),
    ]
)


def run(context: Context[InterveneSettings]) -> None:
    """Write `results.json` and `samples.parquet`; a stated finding and no rows where there is nothing to edit."""
    settings, inputs = context.settings, context.inputs
    choice = choose(inputs["features"], inputs["evaluation-base"], inputs["evaluation-rl"], settings)
    results = Results(
        finding=choice.finding,
        direction=settings.direction,
        model=MODEL[settings.direction],
        layer=choice.layer,
        feature_set=choice.feature_set,
        features=choice.features,
        value=settings.value if settings.direction == "raise" else None,
        value_over_maximum=choice.value_over_maximum(settings.value) if settings.direction == "raise" else {},
        as_evaluated=None,
        paper_features=choice.paper_features if choice.features else [],
        rows=[],
        contrasts=[],
        loss=[],
        alone={},
    )
    samples: list[dict[str, object]] = []
    if choice.features:
        results, samples = _intervene(context, choice, results)
    (context.out / "results.json").write_text(results.model_dump_json(indent=1))
    pq.write_table(pa.Table.from_pylist(samples, schema=SAMPLES), context.out / "samples.parquet")


def _intervene(
    context: Context[InterveneSettings], choice: Choice, results: Results
) -> tuple[Results, list[dict[str, object]]]:
    settings, inputs = context.settings, context.inputs
    model = load_harness_model(inputs["model"], tokens_per_batch=settings.tokens_per_batch)
    if middle_layer(model.model) != choice.layer:
        raise UserError(
            f"features of layer {choice.layer}: the model's middle layer is {middle_layer(model.model)}; "
            "give the features and the crosscoder of this model"
        )
    crosscoder = load_crosscoder(inputs["crosscoder"], model.device)
    tasks = load_tasks(list(choice.whole), inputs["mirror"], context.scratch)
    todo = conditions(crosscoder, choice.features, choice.paper_features, choice.random_sets, settings)

    rows, samples = [], []
    before: Outcomes = {}
    answered: dict[str, list[Outcomes]] = {}
    for i, condition in enumerate(todo):
        model.on_progress = partial(_progress, context, i, len(todo))
        with edit_residual(model.model, condition.edit):
            after = _outcomes(model, tasks, choice.whole if condition.whole else choice.critical)
        answered.setdefault(condition.kind, []).append(after)
        if condition.kind == "before":
            before = after
            continue
        groups = choice.groups if condition.whole else choice.critical_groups
        rows += rows_of(condition, before, after, groups, settings.seed)
        samples += _sample_rows(condition, before, after)
    compared = contrasts(answered, before, choice.groups, settings.direction, settings.seed)
    losses = _losses(model, [condition for condition in todo if condition.whole][1:], inputs["corpus"], settings)
    one_by_one = _alone(model, crosscoder, choice.of_interest, inputs["corpus"], settings)
    same = [before[key].right == right for key, right in choice.evaluated.items()]
    changes = {f"{row.task}/{row.split}/change": row.change for row in rows if row.kind == "main"}
    context.metrics({name: change for name, change in changes.items() if change is not None}, None)
    found = {"rows": rows, "contrasts": compared, "loss": losses, "alone": one_by_one}
    return results.model_copy(update=found | {"as_evaluated": float(np.mean(same))}), samples


def _losses(
    model: HarnessModel, chosen: Sequence[Condition], corpus: Path, settings: InterveneSettings
) -> list[LossRow]:
    text = ordinary_text(corpus, settings.loss_sequences)
    untouched, *edited = on_text(model.model, text, [one.edit for one in chosen], settings.tokens_per_batch)
    return [loss_row(one, untouched, after, text.shape[1]) for one, after in zip(chosen, edited, strict=True)]


def _alone(
    model: HarnessModel, crosscoder: Crosscoder, features: Sequence[int], corpus: Path, settings: InterveneSettings
) -> dict[int, Alone]:
    text = ordinary_text(corpus, settings.feature_sequences)
    of_model, target = MODEL[settings.direction], target_of(settings)
    edits = [feature_edit(crosscoder, of_model, [feature], target) for feature in features]
    untouched, *edited = on_text(model.model, text, edits, settings.tokens_per_batch)
    return {feature: alone(untouched, after) for feature, after in zip(features, edited, strict=True)}


def _outcomes(
    model: HarnessModel, tasks: Mapping[str, ConfigurableTask], docs: Mapping[str, Sequence[int]]
) -> dict[tuple[str, int], Outcome]:
    asked = {name: task for name, task in tasks.items() if docs.get(name)}  # the harness reads no ids as all ids
    if not asked:
        return {}
    samples = score(model, asked, docs={name: docs[name] for name in asked})
    return {(sample.task, sample.doc_id): Outcome(sample.outcome, sample.choice) for sample in samples}


def _sample_rows(condition: Condition, before: Outcomes, after: Outcomes) -> list[dict[str, object]]:
    return [
        {
            "condition": condition.name,
            "kind": condition.kind,
            "task": task,
            "doc_id": doc,
            "before": before[task, doc].right,
            "after": outcome.right,
            "choice_before": before[task, doc].choice,
            "choice_after": outcome.choice,
        }
        for (task, doc), outcome in after.items()
    ]


def _progress(context: Context[InterveneSettings], done: int, total: int, share: float) -> None:
    context.progress(round(100 * (done + share)), 100 * total)

"""A trained crosscoder's result: its weights, and what it is worth on the evaluation shard.

`crosscoder.safetensors` and `config.json` (see `crosscoder.saving`), `features.safetensors`, `scaling.safetensors` and
`examples.safetensors` (see `described`), `metrics.json`, `curve.jsonl` (see `fit`).
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, save_crosscoder
from rlgen_k8s.crosscoder.saving import WEIGHTS
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.described import describe
from rlgen_k8s.stages.crosscoder.fit import Fitted
from rlgen_k8s.stages.crosscoder.recovered import loss_recovered
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.crosscoder.wanted import Wanted
from rlgen_k8s.store.files import sha256_of

METRICS = "metrics.json"
COUNTS = ("l0", "dead", "dense", "n_features")
MEASURED_ON = "weights.sha256"
"""In a resume point: of the weights that were measured. Another attempt's may differ by rounding on a GPU."""


@dataclass(frozen=True)
class Origin:
    """Where a crosscoder's activations come from."""

    corpus: Path
    models: Mapping[str, Path]
    """Folders, by the crosscoder's names."""
    layer: int
    dtype: str


def save_measured(
    context: Context[Any], name: str, wanted: Wanted, fitted: Fitted, shard: JointActivations, origin: Origin
) -> None:
    """Write the whole result of the crosscoder `name` into `wanted.out`, and its figures to the metrics.

    `shard`: the evaluation shard of the crosscoder's models, with the crosscoder's scales. Measures are a resume point
    of their own, `name`'s part: what an earlier attempt measured is not measured again.
    """
    save_crosscoder(fitted.crosscoders[name], wanted.out)
    weights = sha256_of(wanted.out / WEIGHTS)
    point = context.resume.part(name).newest()
    if point and (point.path / MEASURED_ON).read_text() == weights:
        _copy(point.path, wanted.out)
    else:
        with tempfile.TemporaryDirectory(dir=context.scratch) as temporary:
            folder = Path(temporary)
            _measure(wanted.settings, fitted, fitted.crosscoders[name], shard, origin, folder)
            (folder / MEASURED_ON).write_text(weights)
            context.resume.part(name).save(fitted.steps, folder)
            _copy(folder, wanted.out)
    report = json.loads((wanted.out / METRICS).read_text())
    figures = {count: report[count] for count in COUNTS}
    for model, measures in report["models"].items():
        figures |= {f"{measure_name}_{model}": value for measure_name, value in measures.items()}
    context.metrics({wanted.prefix + figure: value for figure, value in figures.items()}, None)


def _copy(measures: Path, out: Path) -> None:
    shutil.copytree(measures, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MEASURED_ON))


def _measure(
    settings: CrosscoderSettings,
    fitted: Fitted,
    crosscoder: Crosscoder,
    shard: JointActivations,
    origin: Origin,
    out: Path,
) -> None:
    """Write all but weights and curve into `out`."""
    measures, own = describe(crosscoder, shard, origin.corpus, out, settings)
    per_model = {}
    for name, scale in zip(crosscoder.models, crosscoder.scales, strict=True):
        losses = loss_recovered(
            crosscoder,
            shard,
            name=name,
            model_folder=origin.models[name],
            corpus=origin.corpus,
            sequences=settings.splice_sequences,
            batch=settings.splice_batch,
        )
        per_model[name] = {
            "scale": scale,
            "variance_explained": measures.variance_explained[name],
            "loss": losses.original,
            "loss_spliced": losses.spliced,
            "loss_ablated": losses.ablated,
            "loss_recovered": losses.recovered,
            "kl_spliced": losses.kl_spliced,
            "kl_ablated": losses.kl_ablated,
            "kl_recovered": losses.kl_recovered,
            "own": own[name].features,
            "own_confirmed": own[name].confirmed,
        }
    counts = {"l0": measures.l0, "dead": measures.dead, "dense": measures.dense, "n_features": crosscoder.n_features}
    sizes = {"steps": fitted.steps, "train_tokens": fitted.tokens, "evaluation_tokens": shard.n_tokens}
    of = {"layer": origin.layer, "width": crosscoder.width, "dtype": origin.dtype}
    use = {name: found.use.model_dump() for name, found in own.items()}
    report = {"models": per_model, "own_use": use, **counts, **sizes, **of}
    (out / METRICS).write_text(json.dumps(report, indent=1) + "\n")

"""A trained crosscoder's result: its weights, and what it is worth on the evaluation shard.

`crosscoder.safetensors` and `config.json` (see `crosscoder.saving`), `features.safetensors`
(`crosscoder.measures.FeatureStatistics`), `scaling.safetensors` and `examples.safetensors` (see `described`),
`metrics.json`, `curve.jsonl` (see `fit`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, measure, save_crosscoder
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.described import describe
from rlgen_k8s.stages.crosscoder.fit import Fitted
from rlgen_k8s.stages.crosscoder.recovered import loss_recovered
from rlgen_k8s.stages.crosscoder.wanted import Wanted


@dataclass(frozen=True)
class Origin:
    """Where a crosscoder's activations come from."""

    corpus: Path
    models: Mapping[str, Path]
    """Folders, by the crosscoder's names."""
    layer: int
    dtype: str


def save_measured(
    context: Context[Any],
    wanted: Wanted,
    fitted: Fitted,
    crosscoder: Crosscoder,
    shard: JointActivations,
    origin: Origin,
) -> None:
    """Write the whole result into `wanted.out`, and its figures to the metrics.

    `shard`: the evaluation shard of the crosscoder's models, with the crosscoder's scales.
    """
    settings = wanted.settings
    save_crosscoder(crosscoder, wanted.out)
    measures = measure(crosscoder, shard, dense_rate=settings.dense_rate)
    save_file(measures.features.tensors(), wanted.out / "features.safetensors")
    own = describe(crosscoder, shard, origin.corpus, wanted.out, settings.seed)
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
    (wanted.out / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")
    flat = {f"{measure_name}_{name}": value for name, by in per_model.items() for measure_name, value in by.items()}
    context.metrics({wanted.prefix + name: value for name, value in (flat | counts).items()}, None)

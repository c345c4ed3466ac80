"""What is seen where nothing differs, and other trainings of the same crosscoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rlgen_k8s.crosscoder import (
    Crosscoder,
    load_crosscoder,
    match_features,
    model_attribution_scores,
    normalized_relative_norms,
)
from rlgen_k8s.stages.analyse.results import Distribution, Repeat, RepeatKind
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.analyse.specificity import mas_distribution, nrn_distribution
from rlgen_k8s.stages.contract import CHECKPOINTS
from rlgen_k8s.stats import bootstrap_mean

NOISE = "crosscoder-noise"
KINDS: tuple[RepeatKind, ...] = get_args(RepeatKind)
"""`crosscoder-joint-<kind><value>` is such an input's name, the value with a `p` for the point."""


def noise_floor(
    inputs: Mapping[str, Path], settings: AnalyseSettings, edges: NDArray[np.float64]
) -> Distribution | None:
    """NRN of base against base again, started apart; None if the study has no such crosscoder."""
    if NOISE not in inputs:
        return None
    scores = normalized_relative_norms(load_crosscoder(inputs[NOISE]).decoder_by_model)
    return nrn_distribution(scores.numpy(), edges, settings.seed)


def restarts_of(inputs: Mapping[str, Path], family: str) -> dict[int, Path]:
    """By seed, the crosscoders of the family's last checkpoint from other starts."""
    start = f"crosscoder-{family}-{CHECKPOINTS}-seed"
    return {int(name.removeprefix(start)): folder for name, folder in inputs.items() if name.startswith(start)}


def repeats(
    inputs: Mapping[str, Path], joint: Crosscoder, settings: AnalyseSettings, edges: NDArray[np.float64]
) -> list[Repeat]:
    """How much of `joint` its further trainings find again: other starts, then other λ's, then other sizes."""
    found = []
    for kind in KINDS:
        start = f"crosscoder-joint-{kind}"
        values = {float(name.removeprefix(start).replace("p", ".")): name for name in inputs if name.startswith(start)}
        found += [
            _repeat(kind, value, load_crosscoder(inputs[values[value]]), joint, settings, edges)
            for value in sorted(values)
        ]
    return found


def _repeat(
    kind: RepeatKind,
    value: float,
    other: Crosscoder,
    joint: Crosscoder,
    settings: AnalyseSettings,
    edges: NDArray[np.float64],
) -> Repeat:
    matching = match_features(joint.decoder_by_model, other.decoder_by_model)
    scores = model_attribution_scores(other.decoder_by_model).numpy()
    return Repeat(
        kind=kind,
        value=value,
        same=bootstrap_mean(matching.same(settings.same_feature_cosine), settings.seed),
        median=float(np.median(matching.cosine)),
        tenth_percentile=float(np.quantile(matching.cosine, 0.1)),
        own={
            name: mas_distribution(row, edges, settings.seed).beyond[">0.7"]
            for name, row in zip(other.models, scores, strict=True)
        },
    )

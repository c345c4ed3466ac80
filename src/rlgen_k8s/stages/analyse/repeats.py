"""What is seen where nothing differs, and other trainings of the same crosscoders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rlgen_k8s.crosscoder import (
    Crosscoder,
    load_crosscoder,
    match_features,
    model_attribution_scores,
    normalized_relative_norms,
    over_seeds,
)
from rlgen_k8s.crosscoder.matching import Matching
from rlgen_k8s.stages.analyse.results import Distribution, Repeat, RepeatKind
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.analyse.specificity import mas_distribution, nrn_distribution
from rlgen_k8s.stages.contract import CHECKPOINTS
from rlgen_k8s.stats import bootstrap_mean

NOISE, JOINT_NOISE = "crosscoder-noise", "crosscoder-noise-joint"
KINDS: tuple[RepeatKind, ...] = get_args(RepeatKind)
"""`crosscoder-joint-<kind><value>` is such an input's name, the value with a `p` for the point."""


def noise_floor(
    inputs: Mapping[str, Path], settings: AnalyseSettings, edges: NDArray[np.float64]
) -> Distribution | None:
    """NRN of base against base again, started apart; None if the study has no such crosscoder."""
    if NOISE not in inputs:
        return None
    scores = normalized_relative_norms(load_crosscoder(inputs[NOISE]).decoder_by_model)
    return nrn_distribution(scores.numpy(), [], edges, settings.seed)


def joint_noise_floor(
    inputs: Mapping[str, Path], settings: AnalyseSettings, edges: NDArray[np.float64]
) -> Distribution | None:
    """MAS of the second of three copies of base, started apart: of the third it would be as good. None as above."""
    if JOINT_NOISE not in inputs:
        return None
    scores = model_attribution_scores(load_crosscoder(inputs[JOINT_NOISE]).decoder_by_model)[1]
    return mas_distribution(scores.numpy(), [], edges, settings.seed)


def restarts_of(inputs: Mapping[str, Path], family: str) -> dict[int, Path]:
    """By seed, the crosscoders of the family's last checkpoint from other starts."""
    start = f"crosscoder-{family}-{CHECKPOINTS}-seed"
    return {int(name.removeprefix(start)): folder for name, folder in inputs.items() if name.startswith(start)}


@dataclass(frozen=True)
class Repeats:
    """What further trainings of the joint crosscoder give."""

    found: list[Repeat]
    scores: dict[str, list[NDArray[np.float64]]]
    """By model: MAS [D] of each further start's own features."""
    matched: dict[str, NDArray[np.float64]]
    """By model [starts, D]: MAS of each of the joint crosscoder's features, and of the same feature in every other
    start; NaN where a start has no such feature."""


def repeats(
    inputs: Mapping[str, Path], joint: Crosscoder, settings: AnalyseSettings, edges: NDArray[np.float64]
) -> Repeats:
    """How much of `joint` its further trainings find again: other starts, then other λ's, then other sizes."""
    found, starts, matchings = [], [model_attribution_scores(joint.decoder_by_model)], []
    for kind in KINDS:
        start = f"crosscoder-joint-{kind}"
        values = {float(name.removeprefix(start).replace("p", ".")): name for name in inputs if name.startswith(start)}
        for value in sorted(values):
            other = load_crosscoder(inputs[values[value]])
            scores = model_attribution_scores(other.decoder_by_model)
            matching = match_features(joint.decoder_by_model, other.decoder_by_model)
            found.append(_repeat(kind, value, dict(zip(other.models, scores, strict=True)), matching, settings, edges))
            if kind == "seed":
                same = np.where(matching.same(settings.same_feature_cosine), matching.partner, -1)
                starts.append(scores)
                matchings.append(matching._replace(partner=same))
    return Repeats(
        found,
        {name: [scores[m].numpy() for scores in starts[1:]] for m, name in enumerate(joint.models)},
        {name: over_seeds([scores[m] for scores in starts], matchings).numpy() for m, name in enumerate(joint.models)},
    )


def _repeat(
    kind: RepeatKind,
    value: float,
    scores: Mapping[str, Tensor],
    matching: Matching,
    settings: AnalyseSettings,
    edges: NDArray[np.float64],
) -> Repeat:
    """Of MAS [D] by model of the other one, and the matching from the joint crosscoder to it."""
    return Repeat(
        kind=kind,
        value=value,
        same=bootstrap_mean(matching.same(settings.same_feature_cosine), settings.seed),
        median=float(np.median(matching.cosine)),
        tenth_percentile=float(np.quantile(matching.cosine, 0.1)),
        own={
            name: mas_distribution(row.numpy(), [], edges, settings.seed).beyond[">0.7"] for name, row in scores.items()
        },
    )

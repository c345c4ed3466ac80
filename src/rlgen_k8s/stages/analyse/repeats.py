"""What is seen where nothing differs, and what another start of the same training gives."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlgen_k8s.crosscoder import Crosscoder, load_crosscoder, match_features, normalized_relative_norms
from rlgen_k8s.stages.analyse.results import Distribution, Restart
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.analyse.specificity import nrn_distribution
from rlgen_k8s.stats import bootstrap_mean

NOISE, FURTHER = "crosscoder-noise", "crosscoder-joint-seed"
"""The inputs' names; the seed follows the latter."""


def noise_floor(
    inputs: Mapping[str, Path], settings: AnalyseSettings, edges: NDArray[np.float64]
) -> Distribution | None:
    """NRN of base against base again, started apart; None if the study has no such crosscoder."""
    if NOISE not in inputs:
        return None
    scores = normalized_relative_norms(load_crosscoder(inputs[NOISE]).decoder_by_model)
    return nrn_distribution(scores.numpy(), edges, settings.seed)


def restarts(inputs: Mapping[str, Path], joint: Crosscoder, settings: AnalyseSettings) -> list[Restart]:
    """How much of `joint` its trainings from further starts find again, in order of their seeds."""
    seeds = sorted(int(name.removeprefix(FURTHER)) for name in inputs if name.startswith(FURTHER))
    found = []
    for seed in seeds:
        other = load_crosscoder(inputs[f"{FURTHER}{seed}"])
        matching = match_features(joint.decoder_by_model, other.decoder_by_model)
        found.append(
            Restart(
                seed=seed,
                same=bootstrap_mean(matching.same(settings.same_feature_cosine), settings.seed),
                median=float(np.median(matching.cosine)),
                tenth_percentile=float(np.quantile(matching.cosine, 0.1)),
            )
        )
    return found

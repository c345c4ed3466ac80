"""One crosscoder of base and all checkpoints: a feature's index is the same feature in every one of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen_k8s.crosscoder import load_crosscoder, model_attribution_scores, normalized_relative_norms
from rlgen_k8s.stages.analyse.dynamics import overlap_matrix, top_labels
from rlgen_k8s.stages.analyse.reading import FAMILIES
from rlgen_k8s.stages.analyse.results import Course
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.analyse.specificity import mas_distribution
from rlgen_k8s.stages.contract import CHECKPOINTS

COURSE = "crosscoder-all"
BASE = "base"


def follow_course(
    inputs: Mapping[str, Path], nearest: Mapping[str, int], settings: AnalyseSettings, edges: NDArray[np.float64]
) -> Course | None:
    """Overlap of the top features along each training, and MAS of base and the checkpoints `nearest` (by family, from
    1), among these three alone. None if the study has no such crosscoder."""
    if COURSE not in inputs:
        return None
    crosscoder = load_crosscoder(inputs[COURSE])
    rows = {name: crosscoder.decoder_by_model[crosscoder.position(name)] for name in crosscoder.models}
    indices = np.arange(crosscoder.n_features)

    def top(checkpoint: str) -> list[int]:
        scores = normalized_relative_norms(torch.stack([rows[BASE], rows[checkpoint]]))
        return top_labels(scores.numpy(), indices, settings.top)

    overlap = {family: overlap_matrix([top(f"{family}-{k}") for k in range(1, CHECKPOINTS + 1)]) for family in FAMILIES}
    three = {BASE: BASE} | {family: f"{family}-{k}" for family, k in nearest.items()}
    scores = model_attribution_scores(torch.stack([rows[name] for name in three.values()])).numpy()
    return Course(
        n_features=crosscoder.n_features,
        overlap=overlap,
        mas={name: mas_distribution(row, [], edges, settings.seed) for name, row in zip(three, scores, strict=True)},
    )

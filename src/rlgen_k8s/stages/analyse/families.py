"""One paradigm's five crosscoders: NRN at each checkpoint, identity of features between them, overlap, rank shifts."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rlgen_k8s.crosscoder.attribution import normalized_relative_norms
from rlgen_k8s.crosscoder.matching import match_features
from rlgen_k8s.crosscoder.saving import load_crosscoder
from rlgen_k8s.stages.analyse.dynamics import labels_along, overlap_matrix, top_labels, transition
from rlgen_k8s.stages.analyse.results import Family, Matching, Restart
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.analyse.specificity import nrn_distribution
from rlgen_k8s.stats import bootstrap_mean, overlap_of


def analyse_family(
    folders: Sequence[Path], restarts: Mapping[int, Path], settings: AnalyseSettings, edges: NDArray[np.float64]
) -> tuple[Family, dict[str, NDArray[np.generic]]]:
    """Results and arrays (`nrn` and `labels`, both `[checkpoints, D]`, `cosine` `[checkpoints − 1, D]`).

    `restarts`: by seed, the last checkpoint's crosscoder from other starts. Two decoders at a time are in memory: at
    full width one is several GB.
    """
    scores, matches, latest = [], [], None
    for folder in folders:
        decoder = load_crosscoder(folder).decoder_by_model
        scores.append(normalized_relative_norms(decoder).numpy())
        if latest is not None:
            found = match_features(latest, decoder)
            matches.append((found.partner, found.cosine))
        latest = decoder
    assert latest is not None
    n_features = len(scores[0])
    labels = labels_along(matches, n_features, settings.same_feature_cosine)
    tops = [top_labels(nrn_k, labels_k, settings.top) for nrn_k, labels_k in zip(scores, labels, strict=True)]
    by_index = [top_labels(nrn_k, np.arange(n_features), settings.top) for nrn_k in scores]
    size = min(settings.top, n_features)
    again = [
        _restart(seed, latest, scores[-1], len(folders), load_crosscoder(folder).decoder_by_model, settings)
        for seed, folder in sorted(restarts.items())
    ]
    of_starts: list[list[NDArray[np.float64]]] = [[] for _ in scores[1:]] + [[nrn for _, nrn in again]]
    family = Family(
        n_features=n_features,
        nrn=[nrn_distribution(*both, edges, settings.seed) for both in zip(scores, of_starts, strict=True)],
        matching=[
            _matching((k, k + 1), cosine, by_index[k - 1], settings) for k, (_partner, cosine) in enumerate(matches, 1)
        ],
        overlap=overlap_matrix(tops),
        overlap_by_index=overlap_matrix(by_index),
        chance=overlap_of(range(size), range(size), n_features),
        transitions=[transition(a, b, (k, k + 1)) for k, (a, b) in enumerate(pairwise(tops), 1)],
        restarts=[restart for restart, _ in again],
    )
    arrays = {"nrn": np.stack(scores), "labels": np.stack(labels), "cosine": np.stack([c for _p, c in matches])}
    return family, arrays


def _restart(
    seed: int, first: Tensor, nrn: NDArray[np.float64], k: int, other: Tensor, settings: AnalyseSettings
) -> tuple[Restart, NDArray[np.float64]]:
    """Of decoders `first`, with its `nrn` [D], and `other`, of checkpoint `k`; and the other's NRN [D]."""
    found, scores = match_features(first, other), normalized_relative_norms(other).numpy()
    labels = labels_along([(found.partner, found.cosine)], len(nrn), settings.same_feature_cosine)
    tops = [top_labels(*one, settings.top) for one in zip((nrn, scores), labels, strict=True)]
    matching = _matching((k, k), found.cosine, tops[0], settings)
    return Restart(seed=seed, matching=matching, overlap=len(set(tops[0]) & set(tops[1]))), scores


def _matching(
    checkpoints: tuple[int, int], cosine: NDArray[np.float64], top: Sequence[int], settings: AnalyseSettings
) -> Matching:
    return Matching(
        checkpoints=checkpoints,
        median=float(np.median(cosine)),
        tenth_percentile=float(np.quantile(cosine, 0.1)),
        same=bootstrap_mean(cosine >= settings.same_feature_cosine, settings.seed),
        top_median=float(np.median(cosine[list(top)])),
    )

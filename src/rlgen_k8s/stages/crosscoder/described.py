"""What the held-out tokens say of a crosscoder and each of its features, all from one pass over them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from rlgen_k8s.crosscoder import (
    Crosscoder,
    Estimate,
    FiringMeter,
    JointActivations,
    LatentScaling,
    Measures,
    QualityMeter,
    ScalingMeter,
    UseMeter,
    model_attribution_scores,
    read_once,
)
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stats import Interval
from rlgen_k8s.stats.intervals import NOTHING

OWN = 0.9
"""A feature with a larger MAS for a model is called its own."""
ABSENT_RECONSTRUCTION, ABSENT_ERROR = 0.5, 0.2
"""Sizes of ν^r and ν^ε below which a feature is absent from a model (Minder et al. 2025)."""


@dataclass(frozen=True)
class Own:
    """One model's own features, of those that fire on the held-out tokens."""

    features: int
    """By the decoder: MAS above `OWN`."""
    confirmed: int
    """Of these, absent from every other model by latent scaling."""
    use: Interval
    """Of all firings, the share that is of these features; interval and n over sequences."""


def describe(
    crosscoder: Crosscoder, held_out: JointActivations, corpus: Path, out: Path, settings: CrosscoderSettings
) -> tuple[Measures, dict[str, Own]]:
    """Write `features.safetensors` (`crosscoder.measures.FeatureStatistics`), `scaling.safetensors`
    (`crosscoder.LatentScaling`) and `examples.safetensors` (`crosscoder.Firing`).

    Returns the measures, and each model's own features by name.
    """
    kept = torch.from_numpy(np.asarray(open_tokens(corpus, "evaluation") != load_corpus_info(corpus).separator))
    lengths = kept.sum(dim=1)
    own = model_attribution_scores(crosscoder.decoder_by_model).cpu() > OWN
    quality, firing = QualityMeter(crosscoder, dense_rate=settings.dense_rate), FiringMeter(crosscoder)
    latent, use = ScalingMeter(crosscoder, seed=settings.seed), UseMeter(crosscoder, own, seed=settings.seed)
    read_once(crosscoder, held_out, lengths, [quality, firing, latent, use])

    measures, scaling, used = quality.compute(), latent.compute(), use.compute()
    tensors = {"owner": scaling.owner, "reconstruction": scaling.reconstruction, "error": scaling.error}
    for name in ("nu_reconstruction", "nu_error"):
        estimate = getattr(scaling, name)
        tensors |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    _save(measures.features.tensors(), out / "features.safetensors")
    _save(tensors, out / "scaling.safetensors")
    _save(vars(firing.compute()), out / "examples.safetensors")
    counts = own_features(own, scaling)
    by_model = {name: Own(*counts[m], use=_interval(used, m, len(lengths))) for m, name in enumerate(crosscoder.models)}
    return measures, by_model


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def _interval(shares: Estimate, m: int, n: int) -> Interval:
    """Model m's; nothing where no feature fires at all."""
    mean, low, high = (float(part[m]) for part in shares)
    return NOTHING if math.isnan(mean) else Interval(mean=mean, low=low, high=high, n=n)


def own_features(own: Tensor, scaling: LatentScaling) -> list[tuple[int, int]]:
    """Each model's own features, of `own: [M, D]` bool, that fire; and how many of them latent scaling confirms."""
    # A feature's ν in its owner is 1: what counts is the largest of the others.
    others = torch.arange(len(own))[:, None] != scaling.owner
    sizes = (scaling.nu_reconstruction.value, scaling.nu_error.value)
    reconstruction, error = (torch.where(others, nu.abs(), 0.0).amax(dim=0) for nu in sizes)
    absent = (reconstruction < ABSENT_RECONSTRUCTION) & (error < ABSENT_ERROR)
    fires = ~scaling.error.isnan().any(dim=0)
    return [(int((mine & fires).sum()), int((mine & fires & absent).sum())) for mine in own]

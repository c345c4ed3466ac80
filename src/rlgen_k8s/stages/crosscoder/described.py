"""What the held-out tokens say of each feature: latent scaling, strongest examples, histogram."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from rlgen_k8s.crosscoder import (
    Crosscoder,
    Estimate,
    JointActivations,
    LatentScaling,
    firing,
    latent_scaling,
    model_attribution_scores,
    share_of_use,
)
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
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


def describe(crosscoder: Crosscoder, held_out: JointActivations, corpus: Path, out: Path, seed: int) -> dict[str, Own]:
    """Write `scaling.safetensors` (`crosscoder.LatentScaling`) and `examples.safetensors` (`crosscoder.Firing`).

    Returns each model's own features, by name.
    """
    kept = torch.from_numpy(np.asarray(open_tokens(corpus, "evaluation") != load_corpus_info(corpus).separator))
    lengths = kept.sum(dim=1)
    scaling = latent_scaling(crosscoder, held_out, lengths, seed=seed)
    tensors = {"owner": scaling.owner, "reconstruction": scaling.reconstruction, "error": scaling.error}
    for name in ("nu_reconstruction", "nu_error"):
        estimate = getattr(scaling, name)
        tensors |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "scaling.safetensors")
    found = firing(crosscoder, held_out, lengths)
    save_file({name: tensor.contiguous() for name, tensor in vars(found).items()}, out / "examples.safetensors")
    own = model_attribution_scores(crosscoder.decoder_by_model).cpu() > OWN
    used = share_of_use(crosscoder, held_out, own, lengths, seed=seed)
    counts = own_features(own, scaling)
    return {name: Own(*counts[m], use=_interval(used, m, len(lengths))) for m, name in enumerate(crosscoder.models)}


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

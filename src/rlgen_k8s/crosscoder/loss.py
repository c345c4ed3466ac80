"""The loss, as one reads it in the papers. Training uses its gradients from `step`, which tests hold against this.

Three ways to keep few features active, `P = x W_enc + b_enc`:

- `relu`: `f = ReLU(P)`, penalty `λ sum_i f_i c_i`, `c_i` the norm of the feature's decoder rows (Lindsey et al. 2024);
- `batch_topk`: of `ReLU(P)` only the `active_features * batch` with the largest `f_i c_i` stay, no penalty (Bussmann et
  al. 2024, with the norms of Minder et al. 2025), and features long dead learn the residual (`auxiliary_loss`);
- `jumprelu`: `f = P [P > θ]`, penalty `λ ‖f‖₀`, θ a trained threshold per feature (Rajamanoharan et al. 2024), with
  gradients through the step for all parameters (Anthropic 2025, January update).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder

Activation = Literal["relu", "batch_topk", "jumprelu"]
NormPenalty = Literal["l1", "l2"]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised. The stage's settings document each."""

    activation: Activation = "relu"
    norm_penalty: NormPenalty = "l1"
    active_features: int = 100
    auxiliary_features: int = 512
    auxiliary_weight: float = 1 / 32
    jump_bandwidth: float = 2.0


RANKED_SAMPLE = 61
"""Every 61st score is looked at first; a prime, so that all features have their turn."""

PAPER = Objective()
"""The paper's: ReLU and the sum of the models' decoder norms."""


class Loss(NamedTuple):
    """Both terms, scalars, mean over tokens. The loss is `squared_error + λ * sparsity`."""

    squared_error: Tensor
    """`sum_m ‖x_m − x̂_m‖²`"""
    sparsity: Tensor
    """`sum_i f_i c_i`; with `jumprelu` the number of active features."""


def decoder_norms(crosscoder: Crosscoder, penalty: NormPenalty = "l1") -> Tensor:
    """Norms whose sum over the last axis is `c_i`.

    `l1`: `‖W_dec[m, i]‖`, [D, M]. `l2`: the norm of the models' rows as one long row, [D, 1].
    """
    parts = crosscoder.n_models if penalty == "l1" else 1
    rows = crosscoder.decoder.view(crosscoder.n_features, parts, -1)
    norms: Tensor = torch.linalg.vector_norm(rows, dim=2)
    return norms


def keep_top(features: Tensor, norm_sums: Tensor, active_features: int) -> Tensor:
    """The smallest `f_i c_i` that stays (scalar) when a batch keeps its `active_features * batch` largest.

    `features: [batch, D]`, none below zero; `norm_sums: [D]`. Without that many features above zero it is 0.
    """
    scores = (features * norm_sums).flatten()
    kept = min(active_features * len(features), len(scores))
    # Ranking all scores is slow, so only those are ranked that exceed what twice as many of a sample do.
    sample = scores[::RANKED_SAMPLE]
    bound = sample.topk(min(2 * kept // RANKED_SAMPLE + 1, len(sample)), sorted=False).values.amin()
    ranked = scores[scores >= bound]
    return (ranked if len(ranked) >= kept else scores).topk(kept, sorted=False).values.amin()


def jump(preactivations: Tensor, thresholds: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """`[P > θ]` and `P [P > θ]`, [batch, D], with gradients through the step: what moves P or θ moves `P − θ`.

    `∂[P > θ] = K/ε ∂(P − θ)` and `∂(P [P > θ]) = [P > θ] ∂P + θ K/ε ∂(P − θ)`, where `K = [|P − θ| < ε/2]` and ε is
    `bandwidth`. Rajamanoharan et al. 2024 have the terms of θ alone; then the penalty moves no encoder.
    """
    above = (preactivations > thresholds).to(preactivations)
    distance = preactivations - thresholds
    near = (distance.abs() < bandwidth / 2).to(preactivations) / bandwidth
    moved = near * (distance - distance.detach())  # zero, with the gradient that is wanted
    return above + moved, preactivations * above + thresholds.detach() * moved


def crosscoder_loss(crosscoder: Crosscoder, x: Tensor, objective: Objective = PAPER) -> Loss:
    """The loss of a batch `x: [batch, M * d]` (docs/study.md, "loss") in training."""
    norm_sums = decoder_norms(crosscoder, objective.norm_penalty).sum(dim=1)
    preactivations = crosscoder.preactivations(x)
    if objective.activation == "jumprelu":
        assert crosscoder.thresholds is not None
        counted, features = jump(preactivations, crosscoder.thresholds, objective.jump_bandwidth)
        sparsity = counted.sum(dim=1).mean()
    else:
        features = torch.relu(preactivations)
        if objective.activation == "batch_topk":
            smallest = keep_top(features.detach(), norm_sums.detach(), objective.active_features)
            features = torch.where(features * norm_sums >= smallest, features, 0.0)
        sparsity = (features * norm_sums).sum(dim=1).mean()
    squared_error = (crosscoder.decode(features) - x).square().sum(dim=1).mean()
    return Loss(squared_error, sparsity)


def auxiliary_loss(crosscoder: Crosscoder, x: Tensor, error: Tensor, dead: Tensor, active_features: int) -> Tensor:
    """`‖e − ê‖²`, mean over tokens: how well dead features would explain what is left (Gao et al. 2024, "AuxK").

    `error: [batch, M * d]` is `x − x̂`, taken as given; `dead: [dead]` are features' indices. `ê` is what the
    `active_features` of them with the largest `ReLU(P)` of each token write, without bias.
    """
    features = torch.relu(x @ crosscoder.encoder[:, dead] + crosscoder.encoder_bias[dead])
    top = features.topk(min(active_features, len(dead)), dim=1)
    kept = torch.zeros_like(features).scatter(1, top.indices, top.values)
    return (kept @ crosscoder.decoder[dead] - error).square().sum(dim=1).mean()

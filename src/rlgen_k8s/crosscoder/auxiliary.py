"""Gradients of the auxiliary loss by hand: dead features learn what the others leave (`loss.auxiliary_loss`)."""

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.loss import Objective
from rlgen_k8s.crosscoder.model import Crosscoder


def add_auxiliary_gradients(
    crosscoder: Crosscoder,
    x: Tensor,
    residual: Tensor,
    dead: Tensor,
    objective: Objective,
    gradients: dict[str, Tensor],
) -> Tensor:
    """Add the gradients of `auxiliary_weight * auxiliary_loss` to `gradients`; returns the weighted loss, a scalar.

    `residual: [tokens, M * d]` is `x̂ − x`; `dead: [dead]` are the indices of dead features. With `A = ê + residual`:
    `dW_dec = Zᵀ A`, `dZ = A W_decᵀ` where Z > 0, `dW_enc = Xᵀ dZ`, each times `2/B * auxiliary_weight`.
    """
    if not len(dead):
        return residual.new_zeros(())
    encoder, decoder = crosscoder.encoder[:, dead], crosscoder.decoder[dead]
    features = torch.addmm(crosscoder.encoder_bias[dead], x, encoder).relu_()
    top = features.topk(min(objective.auxiliary_features, len(dead)), dim=1)
    kept = features.zero_().scatter_(1, top.indices, top.values)
    left = torch.addmm(residual, kept, decoder)
    at_features = (left @ decoder.T).mul_(kept > 0)
    scale = 2 / len(x) * objective.auxiliary_weight
    gradients["decoder"].index_add_(0, dead, kept.T @ left, alpha=scale)
    gradients["encoder"].index_add_(1, dead, x.T @ at_features, alpha=scale)
    gradients["encoder_bias"].index_add_(0, dead, at_features.sum(dim=0), alpha=scale)
    return left.square().sum() * (objective.auxiliary_weight / len(x))

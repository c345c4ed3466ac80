"""The gradients of the loss by hand: five matrix products and as few passes over memory beside them as possible.

With `B` tokens, `R = x̂ − x`, `n[i, m] = ‖W_dec[m, i]‖` and `c_i = sum_m n[i, m]`:

    dW_dec = (2/B) Fᵀ R + λ mean_b(f_i) W_dec[m, i] / n[i, m]        db_dec = (2/B) sum_b R
    dF     = (2/B) R W_decᵀ + (λ/B) c                                 dP = dF where F > 0
    dW_enc = Xᵀ dP                                                    db_enc = sum_b dP

Constants ride on the products (`alpha`), penalties are what the products are added to, and every large buffer is
allocated once: at D = 8192 fresh memory for each step costs more than the arithmetic on it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.loss import decoder_norms
from rlgen_k8s.crosscoder.model import Crosscoder


class StepResult(NamedTuple):
    """What one batch showed. `features` is the step's own buffer: read it before the next call."""

    squared_error: Tensor
    """Scalar, as in `loss.Loss`."""
    sparsity: Tensor
    """Scalar, as in `loss.Loss`, without λ."""
    fired: Tensor
    """[D] bool: features that were above zero for a token of the batch."""
    features: Tensor
    """[batch, D]"""


class GradientStep:
    """Loss and gradients of batches of up to `batch` tokens; gradients land in `gradients`, by parameter name."""

    def __init__(self, crosscoder: Crosscoder, batch: int) -> None:
        self.crosscoder = crosscoder
        self.gradients = {name: torch.empty_like(tensor) for name, tensor in crosscoder.parameters.items()}
        like = crosscoder.decoder
        self._features = like.new_empty(batch, crosscoder.n_features)
        self._feature_gradients = like.new_empty(batch, crosscoder.n_features)
        self._residual = like.new_empty(batch, like.shape[1])

    def __call__(self, x: Tensor, sparsity_weight: float) -> StepResult:
        """Fill `gradients` for `x: [tokens, M * d]` (scaled, tokens ≤ batch) at λ = `sparsity_weight`."""
        coder, gradients, tokens = self.crosscoder, self.gradients, x.shape[0]
        features = self._features[:tokens]
        feature_gradients = self._feature_gradients[:tokens]
        residual = self._residual[:tokens]

        torch.addmm(coder.encoder_bias, x, coder.encoder, out=features)
        features.relu_()
        torch.sub(coder.decoder_bias, x, out=residual)
        residual.addmm_(features, coder.decoder)

        norms = decoder_norms(coder)
        norm_sums = norms.sum(dim=1)
        mean_features = features.sum(dim=0).div_(tokens)
        flat = residual.view(-1)
        squared_error = torch.dot(flat, flat) / tokens
        sparsity = torch.dot(mean_features, norm_sums)

        # A row of norm 0 has no direction: its penalty's gradient is taken as 0 (the rows themselves are 0).
        pull = (sparsity_weight * mean_features)[:, None] / norms.clamp_min(torch.finfo(norms.dtype).tiny)
        by_model = (coder.n_features, coder.n_models, coder.width)
        torch.mul(coder.decoder.view(by_model), pull[:, :, None], out=gradients["decoder"].view(by_model))
        gradients["decoder"].addmm_(features.T, residual, alpha=2 / tokens)
        torch.sum(residual, dim=0, out=gradients["decoder_bias"]).mul_(2 / tokens)

        penalty = norm_sums * (sparsity_weight / tokens)
        torch.addmm(penalty, residual, coder.decoder.T, alpha=2 / tokens, out=feature_gradients)
        torch.ops.aten.threshold_backward.grad_input(feature_gradients, features, 0, grad_input=feature_gradients)
        torch.mm(x.T, feature_gradients, out=gradients["encoder"])
        torch.sum(feature_gradients, dim=0, out=gradients["encoder_bias"])
        return StepResult(squared_error, sparsity, mean_features > 0, features)

"""The gradients of the loss by hand: five matrix products and as few passes over memory beside them as possible.

With `B` tokens, `R = x̂ − x`, `n[i, m]` the norm of part m of feature i's decoder row and `c_i = sum_m n[i, m]`:

    dW_dec = (2/B) Fᵀ R + λ mean_b(f_i) W_dec[m, i] / n[i, m]        db_dec = (2/B) sum_b R
    dF     = (2/B) R W_decᵀ + (λ/B) c                                 dP = dF where F > 0
    dW_enc = Xᵀ dP                                                    db_enc = sum_b dP

The terms with λ are those of `relu`. `batch_topk` has none; `jumprelu` has λ in `T = (K/ε) (θ dF + λ/B)` alone
(`loss.jump`), which is added to dP, and `dθ = −sum_b T`. When few features are active, four products are made from them
alone (`sparse`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.auxiliary import add_auxiliary_gradients
from rlgen_k8s.crosscoder.loss import PAPER, Objective, decoder_norms, keep_top
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.products import BFloat16Products, Float32Products, Penalty, Products
from rlgen_k8s.crosscoder.sparse import SparseProducts

if TYPE_CHECKING:
    from rlgen_k8s.crosscoder.sparse_triton import TritonProducts

Precision = Literal["fp32", "bf16"]
SPARSE_BELOW: dict[Precision, float] = {"fp32": 0.08, "bf16": 0.04}
"""Share of active features below which products from the active ones alone are the faster ones (`make bench`)."""
SPARSE_BELOW_ON_GPU: dict[Precision, float] = {"fp32": 0.02, "bf16": 0.003}
"""The same on a GPU, estimated, not measured (`make gpu-check` does): here reading the active features' rows at 3 TB/s
takes two thirds of the dense products' time at 50 TFLOP/s in fp32 and 600 in bf16."""

DENSITY_SAMPLE = 16
"""Every 16th token of a batch is counted: counting all of them costs a twentieth of a dense step."""


class StepResult(NamedTuple):
    """What one batch showed. `features` is the step's own buffer: read it before the next call."""

    squared_error: Tensor
    """Scalar, as in `loss.Loss`."""
    sparsity: Tensor
    """Scalar, as in `loss.Loss`, without λ."""
    auxiliary: Tensor
    """Scalar, the auxiliary loss with its weight; 0 where there is none."""
    fired: Tensor
    """[D] bool: features that were above zero for a token of the batch."""
    smallest_kept: Tensor | None
    """Scalar, `loss.keep_top`; of `batch_topk` only."""
    features: Tensor
    """[batch, D], in the products' type."""
    tokens: int
    """Tokens of the batch, over all processes."""


class Step(Protocol):
    """What a trainer takes a step with: `GradientStep`, or something around it."""

    gradients: dict[str, Tensor]

    def __call__(self, x: Tensor, sparsity_weight: float, dead: Tensor | None = None) -> StepResult:
        """See `GradientStep`."""


class GradientStep:
    """Loss and gradients of batches of up to `batch` tokens; gradients land in `gradients`, by parameter name."""

    def __init__(
        self, crosscoder: Crosscoder, batch: int, objective: Objective = PAPER, precision: Precision = "fp32"
    ) -> None:
        self.crosscoder, self.objective, self.precision = crosscoder, objective, precision
        trained = crosscoder.parameters
        if objective.activation != "jumprelu":
            trained.pop("thresholds", None)
        self.gradients = {name: torch.empty_like(tensor) for name, tensor in trained.items()}
        products = BFloat16Products if precision == "bf16" else Float32Products
        self._dense: BFloat16Products | Float32Products = products(crosscoder, batch)
        self.sparse, self.sparse_below = _sparse_products(crosscoder, precision)
        self._residual = crosscoder.decoder.new_empty(batch, crosscoder.decoder.shape[1])

    def __call__(self, x: Tensor, sparsity_weight: float, dead: Tensor | None = None) -> StepResult:
        """Fill `gradients` for `x: [tokens, M * d]` (scaled, tokens ≤ batch) at λ = `sparsity_weight`.

        `dead: [dead]`, the indices of dead features, is what `batch_topk`'s auxiliary loss is about.
        """
        coder, gradients, tokens = self.crosscoder, self.gradients, x.shape[0]
        norms = decoder_norms(coder, self.objective.norm_penalty)
        norm_sums = norms.sum(dim=1)
        features = self._dense.encode(x)
        smallest_kept: Tensor | None = None
        near: Tensor | None = None
        if self.objective.activation == "jumprelu":
            near = self._jump(features)
        else:
            features.relu_()
            if self.objective.activation == "batch_topk":
                smallest_kept = keep_top(features, norm_sums, self.objective.active_features)
                features.mul_(features * norm_sums >= smallest_kept)
        products = self._products(features)

        residual = torch.sub(coder.decoder_bias, x, out=self._residual[:tokens])
        products.decode(residual)
        flat = residual.view(-1)
        squared_error = torch.dot(flat, flat) / tokens
        mean_features = features.sum(dim=0).to(norms).div_(tokens)

        penalised = sparsity_weight if self.objective.activation == "relu" else 0.0
        # A row of norm 0 has no direction: its penalty's gradient is taken as 0 (the rows themselves are 0).
        pull = (penalised * mean_features)[:, None] / norms.clamp_min(torch.finfo(norms.dtype).tiny)
        penalty = Penalty(pull, norm_sums * (penalised / tokens))
        to_preactivations = self._relu_backward if near is None else self._jump_backward(near, sparsity_weight)
        products.backward(x, residual, penalty, gradients, to_preactivations)
        torch.sum(residual, dim=0, out=gradients["decoder_bias"]).mul_(2 / tokens)

        auxiliary = residual.new_zeros(())
        if dead is not None:
            auxiliary = add_auxiliary_gradients(coder, x, residual, dead, self.objective, gradients)
        sparsity = torch.dot(mean_features, norm_sums) if near is None else features.sign().mean(dim=0).sum()
        return StepResult(squared_error, sparsity, auxiliary, mean_features > 0, smallest_kept, features, tokens)

    def _products(self, features: Tensor) -> Products:
        """The products that are the faster ones for these features, by how many are active."""
        if self.objective.activation == "jumprelu":
            return self._dense
        sample = features[::DENSITY_SAMPLE]
        if int(torch.count_nonzero(sample)) / sample.numel() >= self.sparse_below:
            return self._dense
        self.sparse.read(features)
        return self.sparse

    def _relu_backward(self, at_features: Tensor) -> None:
        features = self._dense.features
        torch.ops.aten.threshold_backward.grad_input(at_features, features, 0, grad_input=at_features)

    def _jump(self, features: Tensor) -> Tensor:
        """Take away what is not above its threshold; returns `K` [tokens, D], 1 where a feature was near it, else 0."""
        assert self.crosscoder.thresholds is not None
        distance = features - self.crosscoder.thresholds
        features.mul_(distance > 0)
        return (distance.abs_() < self.objective.jump_bandwidth / 2).to(features)

    def _jump_backward(self, near: Tensor, sparsity_weight: float) -> Callable[[Tensor], None]:
        thresholds, bandwidth = self.crosscoder.thresholds, self.objective.jump_bandwidth
        assert thresholds is not None

        def backward(at_features: Tensor) -> None:
            through_step = (at_features * thresholds).add_(sparsity_weight / len(near)).mul_(near).div_(bandwidth)
            torch.sum(through_step, dim=0, out=self.gradients["thresholds"]).neg_()
            self._relu_backward(at_features)
            at_features.add_(through_step)

        return backward


def _sparse_products(crosscoder: Crosscoder, precision: Precision) -> "tuple[SparseProducts | TritonProducts, float]":
    """The device's products from active features, and the share of these below which they are the faster ones."""
    if not crosscoder.decoder.is_cuda:
        return SparseProducts(crosscoder), SPARSE_BELOW[precision]
    from rlgen_k8s.crosscoder.sparse_triton import TritonProducts  # Triton is imported where there is a GPU

    dtype = torch.bfloat16 if precision == "bf16" else crosscoder.decoder.dtype
    return TritonProducts(crosscoder, dtype), SPARSE_BELOW_ON_GPU[precision]

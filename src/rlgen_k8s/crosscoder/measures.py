"""What a trained crosscoder is worth, on tokens it was not trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.errors import UserError


@dataclass(frozen=True)
class FeatureStatistics:
    """How each feature fires on held-out tokens, from all models together and from one model's branch alone."""

    firing_rate: Tensor
    """[D] share of tokens with f > 0."""
    maximum: Tensor
    """[D] largest f."""
    mean: Tensor
    """[D] mean f over all tokens."""
    branch_firing_rate: Tensor
    """[M, D] the same of `f^(m) = ReLU(x_m W_enc[m] + b_enc)`."""
    branch_maximum: Tensor
    """[M, D]"""

    def tensors(self) -> dict[str, Tensor]:
        """By name, for saving."""
        return dict(vars(self))


@dataclass(frozen=True)
class Measures:
    """Held-out quality. Dead: never fires there. Dense: fires on more than the given share of tokens."""

    variance_explained: dict[str, float]
    """Per model: `1 − sum ‖x − x̂‖² / sum ‖x − mean x‖²`."""
    l0: float
    """Mean number of features above zero per token."""
    dead: int
    dense: int
    features: FeatureStatistics


def check_units(crosscoder: Crosscoder, data: JointActivations) -> None:
    """Raise `UserError` unless `data` has the models and the scales that `crosscoder` was trained with.

    A folded crosscoder (scales 1) takes raw activations: data whose scales are 1.
    """
    if data.models != crosscoder.models or data.scales != crosscoder.scales:
        shown = (
            ", ".join(f"{name} × {scale:g}" for name, scale in zip(of.models, of.scales, strict=True))
            for of in (data, crosscoder)
        )
        raise UserError("activations {}: the crosscoder is for {}; scale them as it was trained".format(*shown))


@torch.inference_mode()
def measure(crosscoder: Crosscoder, held_out: JointActivations, *, dense_rate: float, batch: int = 4096) -> Measures:
    """Measure `crosscoder` on `held_out`, activations of its models with its scales (`check_units`)."""
    check_units(crosscoder, held_out)
    M, D, device = crosscoder.n_models, crosscoder.n_features, crosscoder.decoder.device

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=device)

    fired, total = zeros(M + 1, D), zeros(D)
    maximum = torch.zeros(M + 1, D, device=device)
    error, x_sum, x_square = (zeros(M * crosscoder.width) for _ in range(3))
    for x in held_out.chunks(batch, device):
        features = crosscoder.encode(x)
        error += (crosscoder.decode(features) - x).square().sum(dim=0)
        x_sum += x.sum(dim=0, dtype=torch.float64)
        x_square += x.square().sum(dim=0, dtype=torch.float64)
        total += features.sum(dim=0)
        branches = [crosscoder.encode_branch(x[:, crosscoder.columns(name)], name) for name in crosscoder.models]
        for position, values in enumerate((features, *branches)):
            fired[position] += (values > 0).sum(dim=0)
            torch.maximum(maximum[position], values.amax(dim=0), out=maximum[position])
    tokens = held_out.n_tokens
    variance = x_square - x_sum.square() / tokens
    explained = 1 - error.view(M, -1).sum(dim=1) / variance.view(M, -1).sum(dim=1)
    rate = (fired / tokens).float().cpu()
    return Measures(
        variance_explained=dict(zip(crosscoder.models, explained.tolist(), strict=True)),
        l0=float(fired[0].sum() / tokens),
        dead=int((fired[0] == 0).sum()),
        dense=int((rate[0] > dense_rate).sum()),
        features=FeatureStatistics(
            firing_rate=rate[0],
            maximum=maximum[0].cpu(),
            mean=(total / tokens).float().cpu(),
            branch_firing_rate=rate[1:],
            branch_maximum=maximum[1:].cpu(),
        ),
    )

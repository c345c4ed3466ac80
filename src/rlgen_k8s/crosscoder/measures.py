"""What a trained crosscoder is worth, on tokens it was not trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.one_pass import Encoded, read_once


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


class QualityMeter:
    """`measure` as one of several that share a pass (`one_pass`)."""

    def __init__(self, crosscoder: Crosscoder, *, dense_rate: float) -> None:
        M, D, device = crosscoder.n_models, crosscoder.n_features, crosscoder.decoder.device

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.crosscoder, self.dense_rate, self.tokens = crosscoder, dense_rate, 0
        self._fired, self._total = zeros(M + 1, D), zeros(D)
        self._maximum = torch.zeros(M + 1, D, device=device)
        self._error, self._x_sum, self._x_square = (zeros(M * crosscoder.width) for _ in range(3))

    def update(self, seen: Encoded) -> None:
        """See `Meter`."""
        coder, x, features = self.crosscoder, seen.chunk.x, seen.features
        self.tokens += len(x)
        self._error += (seen.rebuilt - x).square().sum(dim=0)
        self._x_sum += x.sum(dim=0, dtype=torch.float64)
        self._x_square += x.square().sum(dim=0, dtype=torch.float64)
        self._total += features.sum(dim=0)
        self._add_firing(0, features)
        for position, name in enumerate(coder.models, 1):
            self._add_firing(position, coder.encode_branch(x[:, coder.columns(name)], name))

    def _add_firing(self, position: int, values: Tensor) -> None:
        self._fired[position] += (values > 0).sum(dim=0)
        torch.maximum(self._maximum[position], values.amax(dim=0), out=self._maximum[position])

    def compute(self) -> Measures:
        """Of all tokens seen."""
        coder, tokens, fired = self.crosscoder, self.tokens, self._fired
        variance = self._x_square - self._x_sum.square() / tokens
        by_model = (coder.n_models, -1)
        explained = 1 - self._error.view(by_model).sum(dim=1) / variance.view(by_model).sum(dim=1)
        rate = (fired / tokens).float().cpu()
        return Measures(
            variance_explained=dict(zip(coder.models, explained.tolist(), strict=True)),
            l0=float(fired[0].sum() / tokens),
            dead=int((fired[0] == 0).sum()),
            dense=int((rate[0] > self.dense_rate).sum()),
            features=FeatureStatistics(
                firing_rate=rate[0],
                maximum=self._maximum[0].cpu(),
                mean=(self._total / tokens).float().cpu(),
                branch_firing_rate=rate[1:],
                branch_maximum=self._maximum[1:].cpu(),
            ),
        )


def measure(crosscoder: Crosscoder, held_out: JointActivations, *, dense_rate: float, batch: int = 4096) -> Measures:
    """Measure `crosscoder` on `held_out`, activations of its models with its scales (`check_units`)."""
    meter = QualityMeter(crosscoder, dense_rate=dense_rate)
    chunks = torch.tensor([len(rows) for rows in torch.arange(held_out.n_tokens).split(batch)])
    read_once(crosscoder, held_out, chunks, [meter], batch=batch)
    return meter.compute()

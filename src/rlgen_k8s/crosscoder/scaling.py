"""Latent scaling: is a feature that only one model's decoder writes really absent from the others? (docs/study.md)

Minder et al. 2025, "Robustly identifying concepts introduced during chat fine-tuning using crosscoders", section 3. The
sparsity penalty can take a feature's row from a model that still has the concept (complete shrinkage: it then stands
in that model's error), or give the concept to another feature there (latent decoupling: it then stands in that model's
reconstruction). So the owner's direction is fitted to both, in each model, in closed form.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.attribution import model_attribution_scores
from rlgen_k8s.crosscoder.blocks import BlockWeights, block_sums
from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.intervals import Estimate, interval
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.one_pass import Encoded, read_once


@dataclass(frozen=True)
class LatentScaling:
    """β of every feature in every model, and its ratio ν to the owner's. NaN where a feature never fires."""

    owner: Tensor
    """[D] int64: the model with the largest MAS; its decoder row is the feature's direction `d_i`."""
    reconstruction: Tensor
    """[M, D] `β^r`, for `y = x̂_m`."""
    error: Tensor
    """[M, D] `β^ε`, for `y = x_m − x̂_m + f_i W_dec[m, i]`: what is left without the feature's own part."""
    nu_reconstruction: Estimate
    """[M, D] `ν^r = β^r_m / β^r_owner`: high in another model points at latent decoupling. 1 for the owner."""
    nu_error: Estimate
    """[M, D] `ν^ε = β^ε_m / β^ε_owner`: high in another model points at complete shrinkage. 1 for the owner."""


class ScalingMeter:
    """`latent_scaling` as one of several that share a pass (`one_pass`)."""

    def __init__(self, crosscoder: Crosscoder, *, resamples: int = 200, seed: int = 0) -> None:
        rows = crosscoder.decoder_by_model
        device, M, D = rows.device, crosscoder.n_models, crosscoder.n_features
        self.crosscoder, self.weights = crosscoder, BlockWeights(resamples, seed)
        # A feature that writes nothing has no score anywhere; it also has no β, whatever its owner.
        self.owner = model_attribution_scores(rows).nan_to_num(nan=0.0).argmax(dim=0)
        self.directions = rows[self.owner, torch.arange(D, device=device)]
        self._totals = torch.zeros(2 * M + 1, resamples + 1, D, dtype=torch.float64, device=device)

    def update(self, seen: Encoded) -> None:
        """See `Meter`."""
        totals, chunk = self._totals, seen.chunk
        drawn = self.weights.of(chunk, totals)
        totals[-1] += drawn @ block_sums(seen.features.square(), chunk.lengths)
        for m, name in enumerate(self.crosscoder.models):
            columns = self.crosscoder.columns(name)
            rebuilt = seen.rebuilt[:, columns]
            for which, target in enumerate((rebuilt, chunk.x[:, columns] - rebuilt)):
                products = (target @ self.directions.T).mul_(seen.features)
                totals[2 * m + which] += drawn @ block_sums(products, chunk.lengths)

    def compute(self) -> LatentScaling:
        """Of all tokens seen."""
        energy, of_reconstruction = self._totals[-1], self._totals[0:-1:2]
        own = (self.crosscoder.decoder_by_model * self.directions).sum(dim=2, dtype=torch.float64)
        of_error = self._totals[1:-1:2] + own[:, None] * energy
        norms = energy[0] * self.directions.square().sum(dim=1, dtype=torch.float64)
        return LatentScaling(
            owner=self.owner.cpu(),
            reconstruction=_ratio(of_reconstruction[:, 0], norms).cpu(),
            error=_ratio(of_error[:, 0], norms).cpu(),
            nu_reconstruction=_nu(of_reconstruction, self.owner),
            nu_error=_nu(of_error, self.owner),
        )


def latent_scaling(
    crosscoder: Crosscoder,
    held_out: JointActivations,
    lengths: Tensor,
    *,
    resamples: int = 200,
    seed: int = 0,
    batch: int = 4096,
) -> LatentScaling:
    """Fit `min_β sum_t ‖β f_i d_i − y‖²`: `β = sum_t f_i ⟨d_i, y⟩ / (‖d_i‖² sum_t f_i²)`, in one pass of running sums.

    `lengths: [n_blocks]` rows of each sequence; ν has a bootstrap interval over them (see `blocks`). Memory beside a
    batch's: `(resamples + 1) (2 M + 1) D` float64.
    """
    meter = ScalingMeter(crosscoder, resamples=resamples, seed=seed)
    read_once(crosscoder, held_out, lengths, [meter], batch=batch)
    return meter.compute()


def _nu(sums: Tensor, owner: Tensor) -> Estimate:
    """ν [M, D] of `sums: [M, 1 + resamples, D]`; what `β` divides them by is the same for all models."""
    of_owner = sums.gather(0, owner.expand(1, sums.shape[1], -1))
    return interval(_ratio(sums, of_owner).transpose(0, 1))


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """`a / b`, NaN where b is 0."""
    return torch.where(b == 0, torch.nan, a / b)

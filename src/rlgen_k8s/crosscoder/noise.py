"""The noise floor: what spread of NRN and MAS nothing at all produces.

Two crosscoders' decoder halves that start equal and see the same activations stay equal for ever: base against its own
copy gives an NRN of exactly 0.5 by symmetry, which says nothing. Started apart, each half finds its own way to the same
activations, as two halves do that must follow two models: what NRN then spreads is noise.
"""

import torch

from rlgen_k8s.crosscoder.model import Crosscoder


@torch.no_grad()
def start_apart(crosscoder: Crosscoder, seed: int) -> None:
    """Give every model but the first decoder rows in random directions of their own, and encoder columns to match.

    For an untrained `crosscoder`, in place. Norms stay; `W_enc[m] = W_dec[m]ᵀ` holds again afterwards.
    """
    generator = torch.Generator().manual_seed(seed)
    for name in crosscoder.models[1:]:
        columns = crosscoder.columns(name)
        rows = crosscoder.decoder[:, columns]
        fresh = torch.randn(rows.shape, generator=generator).to(rows)
        rows.copy_(fresh * (rows.norm(dim=1, keepdim=True) / fresh.norm(dim=1, keepdim=True)))
        crosscoder.encoder[columns] = rows.T

"""The loss, as one reads it in the paper. Training uses its gradients from `step`, which tests hold against this."""

from typing import NamedTuple

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder


class Loss(NamedTuple):
    """Both terms, scalars, mean over tokens. The loss is `squared_error + λ * sparsity`."""

    squared_error: Tensor
    """`sum_m ‖x_m − x̂_m‖²`"""
    sparsity: Tensor
    """`sum_i f_i sum_m ‖W_dec[m, i]‖`"""


def decoder_norms(crosscoder: Crosscoder) -> Tensor:
    """Euclidean norms `‖W_dec[m, i]‖`: [D, M]."""
    rows = crosscoder.decoder.view(crosscoder.n_features, crosscoder.n_models, crosscoder.width)
    norms: Tensor = torch.linalg.vector_norm(rows, dim=2)
    return norms


def crosscoder_loss(crosscoder: Crosscoder, x: Tensor) -> Loss:
    """The loss of a batch `x: [batch, M * d]` (docs/study.md, "loss")."""
    features = crosscoder.encode(x)
    squared_error = (crosscoder.decode(features) - x).square().sum(dim=1).mean()
    sparsity = (features * decoder_norms(crosscoder).sum(dim=1)).sum(dim=1).mean()
    return Loss(squared_error, sparsity)

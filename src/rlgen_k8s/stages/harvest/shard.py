"""One shard of one model: tokens in, stored activations out."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder.data import Shard, ShardWriter, StoredDtype
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.middle import residual_stream


class Harvested(NamedTuple):
    """What was stored."""

    tokens: int
    mean_norm: float
    """Mean Euclidean norm of the raw activations."""


@torch.inference_mode()
def harvest_shard(
    model: PreTrainedModel,
    sequences: np.ndarray,
    separator: int,
    folder: Path,
    shard: Shard,
    *,
    dtype: StoredDtype,
    batch: int,
    on_sequences: Callable[[int], None],
) -> Harvested:
    """Store the middle layer's stream for every token of `sequences` [n, length] that is not the separator.

    Raises `UserError` if the activations are not finite (a model that diverged).
    """
    starts = range(0, len(sequences), batch)
    n_tokens = sum(int(np.count_nonzero(sequences[start : start + batch] != separator)) for start in starts)
    writer = ShardWriter(folder, shard, n_tokens, model.config.hidden_size, dtype)
    norms = torch.zeros((), dtype=torch.float64)
    for start in starts:
        tokens = torch.from_numpy(sequences[start : start + batch].astype(np.int64)).to(model.device)
        kept = residual_stream(model, tokens)[tokens != separator]
        norms += torch.linalg.vector_norm(kept.float(), dim=1).sum(dtype=torch.float64).cpu()
        writer.write(kept)
        on_sequences(len(tokens))
    writer.close()
    mean_norm = float(norms / n_tokens)
    if not 0 < mean_norm < float("inf"):
        raise UserError(f"model in {model.name_or_path}: mean norm of its activations is {mean_norm}; train it again")
    return Harvested(n_tokens, mean_norm)

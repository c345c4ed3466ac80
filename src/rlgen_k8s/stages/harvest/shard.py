"""One shard of one model: tokens in, stored activations out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder.data import Shard, ShardWriter, StoredDtype
from rlgen_k8s.lm.middle import residual_stream


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
) -> int:
    """Store the middle layer's stream for every token of `sequences` [n, length] that is not the separator.

    Returns how many tokens that were.
    """
    starts = range(0, len(sequences), batch)
    n_tokens = sum(int(np.count_nonzero(sequences[start : start + batch] != separator)) for start in starts)
    writer = ShardWriter(folder, shard, n_tokens, model.config.hidden_size, dtype)
    for start in starts:
        tokens = torch.from_numpy(sequences[start : start + batch].astype(np.int64)).to(model.device)
        kept = residual_stream(model, tokens)[tokens != separator]
        writer.write(kept)
        on_sequences(len(tokens))
    writer.close()
    return n_tokens

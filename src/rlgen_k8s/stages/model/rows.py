"""Texts as rows of token ids: shuffled, joined by <|endoftext|>, cut into equal lengths."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from rlgen_k8s.errors import UserError


def pack(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, length: int, seed: int) -> torch.Tensor:
    """Token ids [rows, length] of all `texts` in an order drawn from `seed`; what does not fill a row is left out.

    Attention runs across the texts of a row. Raises `UserError` if there is not one row.
    """
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    encoded = tokenizer.backend_tokenizer.encode_batch([texts[place] for place in order])
    ids = [token for text in encoded for token in (*text.ids, tokenizer.pad_token_id)]
    rows = len(ids) // length
    if rows == 0:
        raise UserError(f"pre-training texts: {len(ids)} tokens in all; expected at least length {length}")
    return torch.tensor(ids[: rows * length]).view(rows, length)


def batch_of(step: int, batch: int, rows: torch.Tensor, seed: int) -> torch.Tensor:
    """Row numbers [batch] of the step `step` (from 0): every row once a pass, each pass in an order of its own."""
    places = range(step * batch, (step + 1) * batch)
    orders = {
        epoch: torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed * 1009 + epoch))
        for epoch in {place // len(rows) for place in places}
    }
    return torch.stack([orders[place // len(rows)][place % len(rows)] for place in places])

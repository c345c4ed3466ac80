"""Sample responses from a causal language model, many prompts at once.

Sampling is by inverse transform: response `i` uses the numbers of its own generator, one for each token. So which
responses share a batch does not change what they say (up to rounding), and a seed gives the same responses again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Response:
    """Token ids, ending with an end token unless cut off, and the log-probability of each when it was sampled."""

    token_ids: list[int]
    log_probs: list[float]
    finished: bool


@torch.inference_mode()
def sample(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    temperature: float,
    max_tokens: int,
    end_ids: Sequence[int],
    pad_id: int,
) -> list[Response]:
    """One response to each prompt, `seeds` (one a prompt) choosing it; log-probabilities are at `temperature`."""
    from transformers import DynamicCache

    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    draws = torch.stack([torch.rand(max_tokens, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    ends = torch.tensor(list(end_ids))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    tokens = torch.full((len(prompts), max_tokens), pad_id)  # [prompts, max_tokens]
    log_probs = torch.zeros(len(prompts), max_tokens)  # [prompts, max_tokens]
    lengths = torch.full((len(prompts),), max_tokens)
    finished = torch.zeros(len(prompts), dtype=torch.bool)
    rows = torch.arange(len(prompts))  # which prompt each row of the batch belongs to
    for step in range(max_tokens):
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        scores = (logits.float() / temperature).log_softmax(-1)  # [rows, vocabulary]
        cumulative = scores.exp().cumsum(-1)
        # Scaled to the sum as rounded, so that a draw near 1 stays inside the vocabulary.
        chosen = torch.searchsorted(cumulative, draws[rows, step, None] * cumulative[:, -1:], right=True)
        chosen = chosen.clamp(max=scores.shape[-1] - 1)  # [rows, 1]
        tokens[rows, step] = chosen[:, 0]
        log_probs[rows, step] = scores.gather(-1, chosen)[:, 0]
        ended = torch.isin(chosen[:, 0], ends) & ~finished[rows]
        lengths[rows[ended]] = step + 1
        finished[rows[ended]] = True
        going = (~finished[rows]).nonzero()[:, 0]
        if not len(going):
            break
        mask = torch.cat([mask, torch.ones_like(chosen)], dim=1)
        ids, positions = chosen, positions[:, -1:] + 1
        if len(going) <= len(rows) // 2:  # carry on with those that have not ended; each copy at least halves the batch
            cache.batch_select_indices(going)
            ids, mask, positions, rows = ids[going], mask[going], positions[going], rows[going]
    return [
        Response(token_row[:length], log_prob_row[:length], end)
        for token_row, log_prob_row, length, end in zip(
            tokens.tolist(), log_probs.tolist(), lengths.tolist(), finished.tolist(), strict=True
        )
    ]

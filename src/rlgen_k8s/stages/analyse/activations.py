"""Features of one model on prompts, through its own branch of the joint crosscoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.lm.middle import residual_stream


@dataclass(frozen=True)
class PromptFeatures:
    """Features on a list of prompts."""

    last: NDArray[np.float32]
    """`[prompts, D]`: at each prompt's last token."""
    largest: NDArray[np.float32]
    """`[D]`: at any token."""
    rate: NDArray[np.float64]
    """`[D]`: share of tokens at which a feature is above 0."""


def prompt_features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    crosscoder: Crosscoder,
    name: str,
    prompts: Sequence[str],
    batch: int,
    done: Callable[[int], None],
) -> PromptFeatures:
    """Run `model`, which is `name` in the crosscoder, up to its middle layer; `done(n)` after each batch of n prompts.

    `f^(m) = ReLU(x_m scale_m W_enc[m] + b_enc)`: one model's branch of the joint crosscoder (paper 3.2).

    Tokens as the evaluation harness makes them of a context: no special tokens added. Prompts of like length go
    together, padded on the right, where causal attention cannot see the padding.
    """
    crosscoder = crosscoder.to(model.device)
    n_features, scale = crosscoder.n_features, crosscoder.scales[crosscoder.position(name)]
    last = np.zeros((len(prompts), n_features), dtype=np.float32)
    largest = torch.zeros(n_features, device=model.device)
    firing = torch.zeros(n_features, device=model.device)
    tokens = 0
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            encoded = tokenizer(
                [prompts[i] for i in rows],
                add_special_tokens=False,
                padding=True,
                padding_side="right",
                return_tensors="pt",
            ).to(model.device)
            mask = encoded["attention_mask"].bool()
            stream = residual_stream(model, encoded["input_ids"], encoded["attention_mask"])
            features = crosscoder.encode_branch(stream.to(crosscoder.encoder.dtype) * scale, name)
            last[rows] = features[torch.arange(len(rows)), mask.sum(dim=1) - 1].float().cpu().numpy()
            flat = features[mask]
            largest = torch.maximum(largest, flat.amax(dim=0))
            firing += (flat > 0).sum(dim=0)
            tokens += int(mask.sum())
            done(len(rows))
    return PromptFeatures(last, largest.float().cpu().numpy(), (firing / max(tokens, 1)).double().cpu().numpy())

"""Attention in float32 inside a bfloat16 model: on CPUs torch's bfloat16 kernel takes three times as long backwards."""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_float32"


def use_float32_attention(model: Any) -> None:
    """Have a transformers model compute its attention in float32, autocast or not; its saved files do not name it."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attend(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **more: Any
) -> tuple[torch.Tensor, None]:
    """`query`, `key`, `value` are [batch, heads, length, head width]; [batch, length, heads, head width]."""
    with torch.autocast(query.device.type, enabled=False):
        return sdpa_attention_forward(module, query.float(), key.float(), value.float(), *rest, **more)

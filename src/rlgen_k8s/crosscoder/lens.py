"""The logit lens: which next tokens a feature's decoder direction speaks for, in each model's own vocabulary."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.errors import UserError


class LensTokens(NamedTuple):
    """Token ids and logits, strongest first; each [features, k]."""

    promoted: Tensor
    promoted_logits: Tensor
    suppressed: Tensor
    suppressed_logits: Tensor


@torch.inference_mode()
def logit_lens(crosscoder: Crosscoder, features: Tensor, name: str, model: PreTrainedModel, k: int = 10) -> LensTokens:
    """The `k` tokens with the highest and with the lowest logits `unembed(final_norm(√d W_dec[m, i] / ‖W_dec[m, i]‖))`.

    `features: [n]` indices; `model` is the one named `name` in the crosscoder. A feature that this model's decoder
    does not write has logits 0. Blocks between the middle and the end are skipped, as the lens always does: late
    features read well through it, early ones less. Raises `UserError` for an architecture without a known final norm.
    """
    norm, head = _final_norm(model), model.get_output_embeddings()
    weight = next(head.parameters())
    rows = crosscoder.decoder[features, crosscoder.columns(name)]
    # A model's norm adds a small constant to the variance: at the norm of a real stream it does not matter.
    directions = torch.nn.functional.normalize(rows) * crosscoder.width**0.5
    logits = head(norm(directions.to(weight))).float()
    top, bottom = logits.topk(k), logits.topk(k, largest=False)
    return LensTokens(top.indices.cpu(), top.values.cpu(), bottom.indices.cpu(), bottom.values.cpu())


def _final_norm(model: PreTrainedModel) -> nn.Module:
    """The norm between the last block and the unembedding: `norm` (Llama, Qwen, Gemma) or `ln_f` (GPT-2)."""
    decoder = model.get_decoder()
    for name in ("norm", "ln_f"):
        if isinstance(found := getattr(decoder, name, None), nn.Module):
            return found
    raise UserError(f"model {type(model).__name__}: no final norm called norm or ln_f; add its name to crosscoder.lens")

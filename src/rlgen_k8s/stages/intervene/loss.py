"""Next-token loss on ordinary text."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from rlgen_k8s.errors import UserError


def ordinary_text(corpus: Path, sequences: int) -> NDArray[np.int32]:
    """The first `sequences` of the corpus' evaluation tokens, [n, length]. Raises `UserError` if there are none."""
    path = corpus / "evaluation.npy"
    if not path.is_file():
        raise UserError(f"corpus folder {corpus}: has no evaluation.npy; give a result of the stage corpus")
    tokens: NDArray[np.int32] = np.load(path, mmap_mode="r")[:sequences]
    return tokens


@torch.inference_mode()
def loss_by_sequence(model: PreTrainedModel, tokens: NDArray[np.int32], tokens_per_batch: int) -> NDArray[np.float64]:
    """Mean cross-entropy of each sequence's next tokens, [n], in nats."""
    batch = max(1, tokens_per_batch // tokens.shape[1])
    losses = []
    for start in range(0, len(tokens), batch):
        ids = torch.from_numpy(np.array(tokens[start : start + batch], dtype=np.int64)).to(model.device)
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        losses.append(cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").mean(dim=1).double().cpu())
    return torch.cat(losses).numpy()

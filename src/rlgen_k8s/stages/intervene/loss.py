"""What an edit does to ordinary text: the next-token loss, and how far predictions move."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.divergence import kl_by_sequence
from rlgen_k8s.lm.middle import edit_residual
from rlgen_k8s.stages.intervene.edits import Edit, unchanged


@dataclass(frozen=True)
class OnText:
    """One way to run the model on ordinary text; both [n], one figure a sequence, in nats a token."""

    loss: NDArray[np.float64]
    """Mean cross-entropy of the next tokens."""
    divergence: NDArray[np.float64]
    """Mean `KL(untouched ‖ edited)` of the next-token distributions."""


def ordinary_text(corpus: Path, sequences: int) -> NDArray[np.int32]:
    """The first `sequences` of the corpus' evaluation tokens, [n, length]. Raises `UserError` if there are none."""
    path = corpus / "evaluation.npy"
    if not path.is_file():
        raise UserError(f"corpus folder {corpus}: has no evaluation.npy; give a result of the stage corpus")
    tokens: NDArray[np.int32] = np.load(path, mmap_mode="r")[:sequences]
    return tokens


@torch.inference_mode()
def on_text(
    model: PreTrainedModel, tokens: NDArray[np.int32], edits: Sequence[Edit], tokens_per_batch: int
) -> list[OnText]:
    """`model` on `tokens` [n, length]: untouched, then under each of `edits`."""
    batch = max(1, tokens_per_batch // tokens.shape[1])
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in (unchanged, *edits)]
    for start in range(0, len(tokens), batch):
        ids = torch.from_numpy(np.array(tokens[start : start + batch], dtype=np.int64)).to(model.device)
        untouched: Tensor | None = None
        for of_edit, edit in zip(found, (unchanged, *edits), strict=True):
            with edit_residual(model, edit):
                logits: Tensor = model(input_ids=ids, use_cache=False).logits[:, :-1]
            untouched = logits if untouched is None else untouched
            of_edit.append((_loss(logits, ids[:, 1:]), kl_by_sequence(untouched, logits).cpu()))
    return [OnText(*(torch.cat(part).numpy() for part in zip(*of_edit, strict=True))) for of_edit in found]


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """[batch]; one sequence in float32 at a time."""
    losses = [cross_entropy(of_one.float(), ids) for of_one, ids in zip(logits, wanted, strict=True)]
    return torch.stack(losses).double().cpu()

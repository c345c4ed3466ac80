"""Loss recovered in one model of a crosscoder, on the first evaluation sequences of the corpus."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, SpliceLosses, splice_losses
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens


@torch.inference_mode()
def loss_recovered(
    crosscoder: Crosscoder,
    held_out: JointActivations,
    *,
    name: str,
    model_folder: Path,
    corpus: Path,
    sequences: int,
    batch: int,
) -> SpliceLosses:
    """Losses of the model `name` with its stream rebuilt from the features of all models on the same tokens.

    Separators are neither replaced nor scored. The ablated stream is its mean over the held-out tokens.
    """
    device = crosscoder.decoder.device
    model = load_model(model_folder)
    model.to(device)  # type: ignore[arg-type]  # hidden by a decorator
    columns, position = crosscoder.columns(name), crosscoder.position(name)
    scale = crosscoder.scales[position]
    tokens = torch.from_numpy(open_tokens(corpus, "evaluation")[:sequences].astype(np.int64)).to(device)

    def reconstruct(start: int, stop: int) -> Tensor:
        x = torch.empty(stop - start, len(crosscoder.models) * crosscoder.width, device=device)
        held_out.fill(torch.arange(start, stop), x)
        return crosscoder.decode(crosscoder.encode(x))[:, columns] / scale

    mean = torch.mean(held_out.raw[position], dim=0, dtype=torch.float32).to(device)
    replaced = tokens != load_corpus_info(corpus).separator
    return splice_losses(model, tokens, replaced, reconstruct, mean, batch=batch)

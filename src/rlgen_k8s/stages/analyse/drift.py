"""How far each checkpoint's predictions have moved from base, and which two have moved as far.

Features of two trainings differ also because one of them moved further: a fair comparison takes checkpoints at equal
drift. The measure is `KL(p_base ‖ p_tuned)` of next-token distributions on held-out text, which neither of the two
models wrote, mean over positions.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from rlgen_k8s.lm.divergence import kl_by_sequence
from rlgen_k8s.stages.analyse.reading import FAMILIES, on_device
from rlgen_k8s.stages.analyse.results import Drift
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.contract import CHECKPOINTS
from rlgen_k8s.stats import bootstrap_mean


@torch.inference_mode()
def divergence_from(
    base: PreTrainedModel, tuned: Path, tokens: NDArray[np.int32], batch: int, done: Callable[[int], None]
) -> NDArray[np.float64]:
    """KL from `base` to the model in `tuned` on each of `tokens` [n, length]: [n], nats a token.

    `batch` sequences at a time; `done(n)` after each. Two models are in memory.
    """
    model = on_device(tuned)
    found = []
    for start in range(0, len(tokens), batch):
        ids = torch.from_numpy(np.array(tokens[start : start + batch], dtype=np.int64)).to(base.device)
        before, after = (one(input_ids=ids, use_cache=False).logits for one in (base, model))
        found.append(kl_by_sequence(before, after).cpu())
        done(len(ids))
    return torch.cat(found).numpy()


def nearest_pair(first: Sequence[float], second: Sequence[float]) -> tuple[int, int]:
    """The checkpoints, counted from 1, whose drifts are nearest by ratio; the later ones where several are."""

    def apart(pair: tuple[int, int]) -> float:
        a, b = first[pair[0]], second[pair[1]]
        return abs(a - b) / max(a, b) if max(a, b) > 0 else 0.0

    pairs = sorted(product(range(len(first)), range(len(second))), key=sum, reverse=True)
    i, j = min(pairs, key=apart)
    return i + 1, j + 1


def measure_drift(
    inputs: Mapping[str, Path], text: NDArray[np.int32], settings: AnalyseSettings, done: Callable[[int], None]
) -> Drift:
    """Of every checkpoint in `inputs`, one after the other, on `text` [n, length]."""
    base = on_device(inputs["model-base"])
    kl = {}
    for name in FAMILIES:
        folders = [inputs[f"model-{name}-{k}"] for k in range(1, CHECKPOINTS + 1)]
        moved = [divergence_from(base, folder, text, settings.drift_batch, done) for folder in folders]
        kl[name] = [bootstrap_mean(by_sequence, settings.seed) for by_sequence in moved]
    pair = nearest_pair(*([found.mean or 0.0 for found in kl[name]] for name in FAMILIES))
    return Drift(kl=kl, n_tokens=text.size, nearest=dict(zip(FAMILIES, pair, strict=True)))

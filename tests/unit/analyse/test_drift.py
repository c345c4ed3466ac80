"""KL from base is a sum over the vocabulary, and checkpoints are paired where it is equal."""

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rlgen_k8s.lm.divergence import kl_by_sequence
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.stages.analyse.drift import nearest_pair


def plain_kl(p: torch.Tensor, q: torch.Tensor) -> float:
    """Mean over positions of logits [length, vocabulary]."""
    total = 0.0
    for a, b in zip(p.double(), q.double(), strict=True):
        of_p, of_q = ([math.exp(x - float(logits.logsumexp(0))) for x in logits.tolist()] for logits in (a, b))
        total += sum(x * math.log(x / y) for x, y in zip(of_p, of_q, strict=True))
    return total / len(p)


def test_kl_by_sequence_is_a_plain_sum() -> None:
    torch.manual_seed(0)
    p, q = torch.randn(3, 4, 11), torch.randn(3, 4, 11)
    found = kl_by_sequence(p, q)
    assert found.tolist() == pytest.approx([plain_kl(a, b) for a, b in zip(p, q, strict=True)], rel=1e-4)
    assert kl_by_sequence(p, p).abs().max() < 1e-6
    assert not torch.allclose(found, kl_by_sequence(q, p))


def test_checkpoints_of_planted_equal_drift_are_paired(found: Any, planted: ModuleType) -> None:
    drift = found.analysis.drift
    assert planted.DRIFTS["sft", 1] == planted.DRIFTS["rl", 3]
    assert drift.nearest == {"sft": 1, "rl": 3}
    assert drift.kl["sft"][0].mean == pytest.approx(drift.kl["rl"][2].mean, rel=1e-6)
    means = [value.mean for value in drift.kl["sft"]]
    assert means == sorted(means)
    assert drift.n_tokens == 40 * 16
    tokens = torch.tensor(np.load(found.inputs["corpus"] / "evaluation.npy"), dtype=torch.long)
    base, tuned = (load_model(found.inputs[name]) for name in ("model-base", "model-sft-4"))
    with torch.no_grad():
        by_hand = [plain_kl(base(row[None]).logits[0], tuned(row[None]).logits[0]) for row in tokens]
    value = drift.kl["sft"][3]
    assert value.mean == pytest.approx(np.mean(by_hand), rel=1e-3)
    assert value.n == 40
    assert value.low < value.mean < value.high


def test_the_nearest_pair_is_nearest_by_ratio_and_the_later_of_equals() -> None:
    assert nearest_pair([0.1, 1.0, 5.0], [0.02, 0.5, 4.0]) == (3, 3)
    assert nearest_pair([1.0, 2.0], [0.1, 1.5]) == (2, 2)
    assert nearest_pair([0.01, 2.0], [0.0101, 1.5]) == (1, 1)
    assert nearest_pair([0.3, 0.7], [0.3, 0.7]) == (2, 2)
    assert nearest_pair([0.0, 0.0], [0.0, 0.0]) == (2, 2)

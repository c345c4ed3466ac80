"""Examples and histograms against loops over single tokens; the lens against the model's own last steps."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, firing, histogram_edges, in_context, logit_lens
from rlgen_k8s.lm.load import load_model

LENGTHS = torch.tensor([7, 12, 1, 9, 11, 4, 16])
N = int(LENGTHS.sum())
SCALES = (1.0, 2.0, 0.5)


@pytest.fixture(scope="module", params=[2, 3])
def n_models(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def coder(n_models: int) -> Crosscoder:
    """Feature 5 never fires; feature 6 fires enormously."""
    generator = torch.Generator().manual_seed(0)
    joined = 4 * n_models
    shapes = [(joined, 7), (7,), (7, joined), (joined,)]
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    coder = Crosscoder(tuple("abc"[:n_models]), SCALES[:n_models], *tensors)
    coder.encoder_bias[5], coder.encoder_bias[6] = -1e3, 1e5
    return coder


@pytest.fixture(scope="module")
def data(n_models: int) -> JointActivations:
    generator = torch.Generator().manual_seed(1)
    raw = tuple(torch.randn(N, 4, generator=generator) for _ in range(n_models))
    return JointActivations(tuple("abc"[:n_models]), raw, SCALES[:n_models])


def all_features(coder: Crosscoder, data: JointActivations) -> Tensor:
    scaled = [scale * raw for scale, raw in zip(data.scales, data.raw, strict=True)]
    return torch.stack([coder.encode(torch.cat([x[t] for x in scaled])) for t in range(N)])


@pytest.mark.parametrize("batch", [5, 24, 1000])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_examples_are_each_sequences_best_token(coder: Crosscoder, data: JointActivations, k: int, batch: int) -> None:
    features = all_features(coder, data)
    found = firing(coder, data, LENGTHS, k=k, batch=batch)
    starts = [0, *LENGTHS.cumsum(0).tolist()]
    for i in range(7):
        best = []
        for start, end in pairwise(starts):
            row = max(range(start, end), key=lambda t: float(features[t, i]))
            if features[row, i] > 0:
                best.append((float(features[row, i]), row))
        best = sorted(best, reverse=True)[:k]
        padding = k - len(best)
        assert found.values[i].tolist() == pytest.approx([value for value, _row in best] + [0.0] * padding, rel=1e-5)
        assert found.rows[i].tolist() == [row for _value, row in best] + [-1] * padding


def test_the_histogram_counts_every_firing(coder: Crosscoder, data: JointActivations) -> None:
    edges = histogram_edges().tolist()
    counts = [[0] * (len(edges) - 1) for _ in range(7)]
    for token in all_features(coder, data).tolist():
        for i, value in enumerate(token):
            if value > 0:
                inside = [b for b, (low, high) in enumerate(pairwise(edges)) if low <= value < high]
                counts[i][inside[0] if inside else (0 if value < edges[0] else -1)] += 1
    found = firing(coder, data, LENGTHS, batch=24)
    assert found.histogram.tolist() == counts
    assert counts[6][-1] == N
    assert sum(counts[5]) == 0


def test_an_example_stands_in_its_context(coder: Crosscoder, data: JointActivations) -> None:
    """Sequences of 17 tokens whose first, and a few others, are separators and were not stored."""
    tokens = torch.arange(7 * 17).view(7, 17) + 1000
    kept = torch.zeros(7, 17, dtype=torch.bool)
    for n, length in enumerate(LENGTHS.tolist()):
        kept[n, 17 - length :] = True
    features = all_features(coder, data)
    where = [tuple(place) for place in kept.nonzero().tolist()]
    found = firing(coder, data, LENGTHS, k=4, batch=24)
    examples = in_context(coder, data, found, 2, tokens, kept, before=3, after=2)
    assert len(examples) == int((found.rows[2] >= 0).sum())
    for example, row in zip(examples, found.rows[2].tolist(), strict=False):
        n, t = where[row]
        assert example.tokens == tokens[n, max(0, t - 3) : t + 3].tolist()
        assert example.tokens[example.peak] == tokens[n, t]
        for token, activation in zip(example.tokens, example.activations, strict=True):
            place = (n, token - 1000 - 17 * n)
            expected = float(features[where.index(place), 2]) if place in where else 0.0
            assert activation == pytest.approx(expected, rel=1e-5)
        strongest = max(float(features[r, 2]) for r in range(N) if where[r][0] == n)
        assert example.activations[example.peak] == pytest.approx(strongest, rel=1e-5)


@torch.no_grad()
def test_the_lens_is_the_models_own_norm_and_unembedding(model_folders: dict[str, Path]) -> None:
    """`rms norm · gain · unembedding` written out, for the model asked for and no other."""
    model = load_model(model_folders["rl"])
    model.model.norm.weight.copy_(torch.rand(32, generator=torch.Generator().manual_seed(0)) + 0.5)
    generator = torch.Generator().manual_seed(1)
    decoder = 1e-3 * torch.randn(6, 64, generator=generator)
    decoder[4, 32:] = 0
    coder = Crosscoder(("base", "rl"), (1.0, 1.0), decoder.T.clone(), torch.zeros(6), decoder, torch.zeros(64))
    wanted = torch.tensor([5, 0, 4])
    found = logit_lens(coder, wanted, "rl", model, k=6)
    for n, i in enumerate(wanted.tolist()):
        row = decoder[i, 32:].double()
        if i == 4:
            assert found.promoted_logits[n].abs().max() == 0
            continue
        normed = row / math.sqrt(float(row.square().mean())) * model.model.norm.weight.double()
        logits = model.lm_head.weight.double() @ normed
        order = logits.argsort(descending=True)
        assert found.promoted[n].tolist() == order[:6].tolist()
        assert found.suppressed[n].tolist() == order.flip(0)[:6].tolist()
        assert found.promoted_logits[n].tolist() == pytest.approx(logits[order[:6]].tolist(), rel=1e-4)
        assert found.suppressed_logits[n].tolist() == pytest.approx(logits[order.flip(0)[:6]].tolist(), rel=1e-4)

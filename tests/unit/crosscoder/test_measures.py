import pytest
import torch

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, measure


def test_measures_are_their_definitions_written_as_loops() -> None:
    """Over several chunks, of which the last is smaller, and with raw units other than the crosscoder's."""
    n_models, width, n_features, tokens = 3, 4, 9, 110
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    coder = Crosscoder(
        ("a", "b", "c"), (2.0, 0.5, 1.0), normal(12, n_features), normal(n_features), normal(n_features, 12), normal(12)
    )
    coder.encoder_bias[0], coder.encoder_bias[1] = -1e3, 1e3
    raw = tuple(normal(tokens, width) + 3 for _ in range(n_models))
    held_out = JointActivations(coder.models, raw, coder.scales)
    measures = measure(coder, held_out, dense_rate=0.9, batch=32)

    x = torch.cat([tensor * scale for tensor, scale in zip(raw, coder.scales, strict=True)], dim=1)
    features = torch.stack([coder.encode(row) for row in x])
    for m, name in enumerate(coder.models):
        mine = x[:, m * width : (m + 1) * width]
        rebuilt = coder.decode(features)[:, m * width : (m + 1) * width]
        residual = sum(float((mine[t] - rebuilt[t]).square().sum()) for t in range(tokens))
        spread = sum(float((mine[t] - mine.mean(dim=0)).square().sum()) for t in range(tokens))
        assert measures.variance_explained[name] == pytest.approx(1 - residual / spread, rel=1e-4)
        branch = torch.stack([coder.encode_branch(row, name) for row in mine])
        torch.testing.assert_close(measures.features.branch_maximum[m], branch.amax(dim=0))
        torch.testing.assert_close(measures.features.branch_firing_rate[m], (branch > 0).float().mean(dim=0))
    counts = [sum(float(features[t, i]) > 0 for t in range(tokens)) for i in range(n_features)]
    assert measures.l0 == pytest.approx(sum(counts) / tokens)
    assert measures.dead == sum(count == 0 for count in counts) >= 1
    assert measures.dense == sum(count > 0.9 * tokens for count in counts) >= 1
    torch.testing.assert_close(measures.features.maximum, features.amax(dim=0))
    torch.testing.assert_close(measures.features.mean, features.mean(dim=0))
    torch.testing.assert_close(measures.features.firing_rate, torch.tensor(counts) / tokens)


def test_a_perfect_crosscoder_explains_all_variance_and_a_constant_one_none() -> None:
    """Two features for each sign of a coordinate carry it through exactly."""
    width = 5
    eye = torch.eye(2 * width)
    raw = tuple(torch.randn(200, width, generator=torch.Generator().manual_seed(m)) for m in range(2))
    held_out = JointActivations(("a", "b"), raw, (1.0, 1.0))
    zeros = torch.zeros(2 * width)
    perfect = Crosscoder(
        ("a", "b"), (1.0, 1.0), torch.cat([eye, -eye], dim=1), torch.zeros(4 * width), torch.cat([eye, -eye]), zeros
    )
    assert measure(perfect, held_out, dense_rate=0.9).variance_explained == pytest.approx({"a": 1.0, "b": 1.0})
    means = torch.cat([tensor.mean(dim=0) for tensor in raw])
    constant = Crosscoder(("a", "b"), (1.0, 1.0), torch.zeros(10, 3), torch.zeros(3), torch.zeros(3, 10), means)
    measures = measure(constant, held_out, dense_rate=0.9)
    assert measures.variance_explained == pytest.approx({"a": 0.0, "b": 0.0}, abs=1e-6)
    assert (measures.l0, measures.dead) == (0.0, 3)

"""What a crosscoder computes, against loops over single numbers."""

import pytest
import torch

from rlgen_k8s.crosscoder import Crosscoder

WIDTH, FEATURES, TOKENS = 4, 7, 12


def random_crosscoder(n_models: int, thresholds: bool) -> Crosscoder:
    generator = torch.Generator().manual_seed(n_models)
    joined = n_models * WIDTH
    shapes = [(joined, FEATURES), (FEATURES,), (FEATURES, joined), (joined,)]
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    scales = tuple(0.5 * (index + 1) for index in range(n_models))
    above = torch.linspace(0.0, 2.0, FEATURES) if thresholds else None
    return Crosscoder(tuple("abc"[:n_models]), scales, *tensors, thresholds=above)


def feature(coder: Crosscoder, preactivation: float, i: int) -> float:
    """`P [P > θ]`, θ = 0 where there is none."""
    threshold = 0.0 if coder.thresholds is None else float(coder.thresholds[i])
    return preactivation if preactivation > threshold else 0.0


@pytest.mark.parametrize("thresholds", [False, True])
@pytest.mark.parametrize("n_models", [2, 3])
def test_features_are_those_of_all_models_and_a_branchs_those_of_one(n_models: int, thresholds: bool) -> None:
    coder = random_crosscoder(n_models, thresholds)
    x = torch.randn(TOKENS, n_models, WIDTH, generator=torch.Generator().manual_seed(9))
    w_enc, b_enc = coder.encoder_by_model, coder.encoder_bias
    joint = coder.encode(x.flatten(1))
    branches = [coder.encode_branch(x[:, m], name) for m, name in enumerate(coder.models)]
    for t in range(TOKENS):
        for i in range(FEATURES):
            parts = [sum(float(x[t, m, j]) * float(w_enc[m, j, i]) for j in range(WIDTH)) for m in range(n_models)]
            together = feature(coder, sum(parts) + float(b_enc[i]), i)
            assert float(joint[t, i]) == pytest.approx(together, rel=1e-4, abs=1e-5)
            for m in range(n_models):
                alone = feature(coder, parts[m] + float(b_enc[i]), i)
                assert float(branches[m][t, i]) == pytest.approx(alone, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("thresholds", [False, True])
@pytest.mark.parametrize("n_models", [2, 3])
def test_some_features_of_a_branch_are_those_of_the_whole(n_models: int, thresholds: bool) -> None:
    coder, chosen = random_crosscoder(n_models, thresholds), torch.tensor([5, 0, 3])
    x = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(9))
    for m, name in enumerate(coder.models):
        branch = coder.branch(name, chosen)
        assert (branch.models, branch.scales, branch.width) == ((name,), (coder.scales[m],), WIDTH)
        torch.testing.assert_close(branch.encode(x), coder.encode_branch(x, name)[:, chosen])
        assert torch.equal(branch.decoder, coder.decoder_by_model[m][chosen])
        assert torch.equal(branch.decoder_bias, coder.decoder_bias.view(n_models, WIDTH)[m])

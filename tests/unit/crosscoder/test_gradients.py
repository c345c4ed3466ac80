import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder.loss import crosscoder_loss, decoder_norms
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.step import GradientStep

WIDTH, FEATURES, TOKENS = 6, 14, 23


def random_crosscoder(n_models: int) -> Crosscoder:
    generator = torch.Generator().manual_seed(n_models)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Crosscoder(
        models=tuple(f"m{index}" for index in range(n_models)),
        scales=(1.0,) * n_models,
        encoder=normal(n_models * WIDTH, FEATURES),
        encoder_bias=normal(FEATURES),
        decoder=normal(FEATURES, n_models * WIDTH),
        decoder_bias=normal(n_models * WIDTH),
    )


def batch(n_models: int) -> Tensor:
    return torch.randn(TOKENS, n_models * WIDTH, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def total(coder: Crosscoder, x: Tensor, weight: float) -> Tensor:
    loss = crosscoder_loss(coder, x)
    return loss.squared_error + weight * loss.sparsity


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_loss_is_the_papers_formula_written_as_loops(n_models: int) -> None:
    coder, x = random_crosscoder(n_models), batch(n_models)
    w_enc, w_dec = coder.encoder_by_model, coder.decoder_by_model
    squared_error = sparsity = 0.0
    for token in x.view(TOKENS, n_models, WIDTH):
        f = [
            max(0.0, sum(float(token[m] @ w_enc[m, :, i]) for m in range(n_models)) + float(coder.encoder_bias[i]))
            for i in range(FEATURES)
        ]
        for m in range(n_models):
            bias = coder.decoder_bias[m * WIDTH : (m + 1) * WIDTH]
            rebuilt = sum(f[i] * w_dec[m, i] for i in range(FEATURES)) + bias
            squared_error += float((token[m] - rebuilt).square().sum()) / TOKENS
        sparsity += (
            sum(f[i] * sum(float(w_dec[m, i].norm()) for m in range(n_models)) for i in range(FEATURES)) / TOKENS
        )
    loss = crosscoder_loss(coder, x)
    assert float(loss.squared_error) == pytest.approx(squared_error, rel=1e-12)
    assert float(loss.sparsity) == pytest.approx(sparsity, rel=1e-12)


@pytest.mark.parametrize("n_models", [2, 3, 4])
@pytest.mark.parametrize("weight", [0.0, 1.7])
def test_gradients_equal_autograd(n_models: int, weight: float) -> None:
    coder, x = random_crosscoder(n_models), batch(n_models)
    step = GradientStep(coder, batch=TOKENS)
    result = step(x, weight)
    for parameter in coder.parameters.values():
        parameter.requires_grad_()
    loss = total(coder, x, weight)
    loss.backward()
    assert torch.allclose(result.squared_error + weight * result.sparsity, loss, rtol=1e-12)
    for name, parameter in coder.parameters.items():
        torch.testing.assert_close(step.gradients[name], parameter.grad, rtol=1e-10, atol=1e-12)


def test_gradients_equal_finite_differences() -> None:
    coder, x = random_crosscoder(2), batch(2)
    step, epsilon = GradientStep(coder, batch=TOKENS), 1e-6
    step(x, 0.9)
    for name, parameter in coder.parameters.items():
        flat = parameter.view(-1)
        for index in range(0, flat.numel(), 7):
            before = float(flat[index])
            flat[index] = before + epsilon
            above = total(coder, x, 0.9)
            flat[index] = before - epsilon
            below = total(coder, x, 0.9)
            flat[index] = before
            slope = float((above - below) / (2 * epsilon))
            assert float(step.gradients[name].view(-1)[index]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_smaller_last_batch_gives_its_own_gradients() -> None:
    coder, x = random_crosscoder(2), batch(2)
    large, small = GradientStep(coder, batch=TOKENS), GradientStep(coder, batch=5)
    large(x, 1.0)
    large(x[:5], 1.0)
    small(x[:5], 1.0)
    for name in coder.parameters:
        assert torch.equal(large.gradients[name], small.gradients[name])


def test_fired_names_exactly_the_features_above_zero() -> None:
    coder, x = random_crosscoder(3), batch(3)
    coder.encoder_bias[4] = -1e6
    result = GradientStep(coder, batch=TOKENS)(x, 1.0)
    assert torch.equal(result.fired, (coder.encode(x) > 0).any(dim=0))
    assert not result.fired[4]


def test_a_decoder_row_of_zeros_leaves_no_nan() -> None:
    coder = random_crosscoder(2)
    coder.decoder[3, :WIDTH] = 0.0
    step = GradientStep(coder, batch=TOKENS)
    step(batch(2), 1.0)
    assert all(torch.isfinite(gradient).all() for gradient in step.gradients.values())
    assert decoder_norms(coder)[3, 0] == 0.0

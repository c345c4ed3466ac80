from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder.loss import PAPER, Objective, auxiliary_loss, crosscoder_loss, decoder_norms, keep_top
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.sparse import SparseProducts
from rlgen_k8s.crosscoder.step import SPARSE_BELOW, GradientStep

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


def total(coder: Crosscoder, x: Tensor, weight: float, objective: Objective = PAPER) -> Tensor:
    loss = crosscoder_loss(coder, x, objective)
    return loss.squared_error + weight * loss.sparsity


def by_autograd(coder: Crosscoder, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    """The gradients of `loss()` at the parameters of `coder`."""
    parameters = coder.parameters
    for parameter in parameters.values():
        parameter.requires_grad_()
    gradients = torch.autograd.grad(loss(), list(parameters.values()), materialize_grads=True)
    for parameter in parameters.values():
        parameter.requires_grad_(False)
    return dict(zip(parameters, gradients, strict=True))


def slope(loss: Callable[[], Tensor], parameter: Tensor, index: int, epsilon: float) -> float:
    """The central difference of `loss()` when one number of `parameter` moves."""
    flat = parameter.view(-1)
    before = float(flat[index])
    flat[index] = before + epsilon
    above = loss()
    flat[index] = before - epsilon
    below = loss()
    flat[index] = before
    return float((above - below) / (2 * epsilon))


OBJECTIVES = {
    "l1": PAPER,
    "l2": Objective(norm_penalty="l2"),
    "batch_topk l1": Objective(activation="batch_topk", active_features=3),
    "batch_topk l2": Objective(activation="batch_topk", active_features=3, norm_penalty="l2"),
    "jumprelu": Objective(activation="jumprelu", jump_bandwidth=1.5),
}


def prepared(n_models: int, objective: Objective) -> Crosscoder:
    coder = random_crosscoder(n_models)
    if objective.activation == "jumprelu":
        coder.thresholds = torch.linspace(0.2, 2.0, FEATURES, dtype=torch.float64)
    return coder


@pytest.mark.parametrize("n_models", [2, 3, 4])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_loss_is_its_formula_written_as_loops(n_models: int, objective: Objective) -> None:
    coder, x = prepared(n_models, objective), batch(n_models)
    w_dec = coder.decoder_by_model
    written = [rows_norm(coder, i, objective.norm_penalty) for i in range(FEATURES)]
    f = [[max(0.0, preactivation(coder, token, i)) for i in range(FEATURES)] for token in x]
    if objective.activation == "jumprelu":
        f = [[value if value > 0.2 + 1.8 * i / (FEATURES - 1) else 0.0 for i, value in enumerate(row)] for row in f]
    if objective.activation == "batch_topk":
        ranked = sorted((value * written[i] for row in f for i, value in enumerate(row)), reverse=True)
        least = ranked[objective.active_features * TOKENS - 1]
        f = [[value if value * written[i] >= least else 0.0 for i, value in enumerate(row)] for row in f]
    squared_error = sparsity = 0.0
    for token, features in zip(x.view(TOKENS, n_models, WIDTH), f, strict=True):
        for m in range(n_models):
            bias = coder.decoder_bias[m * WIDTH : (m + 1) * WIDTH]
            rebuilt = sum(features[i] * w_dec[m, i] for i in range(FEATURES)) + bias
            squared_error += float((token[m] - rebuilt).square().sum()) / TOKENS
        penalties = [
            value > 0 if objective.activation == "jumprelu" else value * written[i] for i, value in enumerate(features)
        ]
        sparsity += sum(penalties) / TOKENS
    loss = crosscoder_loss(coder, x, objective)
    assert float(loss.squared_error) == pytest.approx(squared_error, rel=1e-12)
    assert float(loss.sparsity) == pytest.approx(sparsity, rel=1e-12)


def preactivation(coder: Crosscoder, token: Tensor, i: int) -> float:
    """`sum_m x_m W_enc[m]_i + b_enc_i` of a token [M * d]."""
    parts = zip(token.view(coder.n_models, WIDTH), coder.encoder_by_model, strict=True)
    return sum(float(x_m @ w_m[:, i]) for x_m, w_m in parts) + float(coder.encoder_bias[i])


def rows_norm(coder: Crosscoder, i: int, penalty: str) -> float:
    """`c_i`: the models' norms added up, or the norm of all their numbers."""
    squares = [sum(float(number) ** 2 for number in row[i]) for row in coder.decoder_by_model]
    return sum(square**0.5 for square in squares) if penalty == "l1" else sum(squares) ** 0.5


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("kept", [2, 50])
def test_the_auxiliary_loss_is_its_formula_written_as_loops(n_models: int, kept: int) -> None:
    coder, x, dead = random_crosscoder(n_models), batch(n_models), [1, 5, 6, 11]
    error = x - coder.decode(coder.encode(x))
    expected = 0.0
    for token, left in zip(x, error, strict=True):
        f = {i: max(0.0, preactivation(coder, token, i)) for i in dead}
        largest = sorted(dead, key=lambda i: -f[i])[:kept]
        for j in range(n_models * WIDTH):
            explained = sum(f[i] * float(coder.decoder[i, j]) for i in largest)
            expected += (float(left[j]) - explained) ** 2 / TOKENS
    assert float(auxiliary_loss(coder, x, error, torch.tensor(dead), kept)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n_models", [2, 3, 4])
@pytest.mark.parametrize("weight", [0.0, 1.7])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_gradients_equal_autograd(n_models: int, weight: float, objective: Objective) -> None:
    if objective.activation == "batch_topk":
        weight = 0.0  # it has no penalty
    coder, x = prepared(n_models, objective), batch(n_models)
    step = GradientStep(coder, TOKENS, objective)
    result = step(x, weight)
    expected = by_autograd(coder, lambda: total(coder, x, weight, objective))
    loss = crosscoder_loss(coder, x, objective)
    assert torch.allclose(result.squared_error, loss.squared_error, rtol=1e-12)
    assert torch.allclose(result.sparsity.double(), loss.sparsity, rtol=1e-6)
    assert expected.keys() == step.gradients.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(step.gradients[name], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_gradients_equal_finite_differences(n_models: int, objective: Objective) -> None:
    """But for thresholds and, with them, the encoder: their gradients go through a step and are no derivatives."""
    weight = 0.0 if objective.activation == "batch_topk" else 0.9
    coder, x = prepared(n_models, objective), batch(n_models)
    step = GradientStep(coder, TOKENS, objective)
    step(x, weight)
    smooth = ("decoder", "decoder_bias")
    for name in smooth if objective.activation == "jumprelu" else ("encoder", "encoder_bias", *smooth):
        parameter = coder.parameters[name]
        for index in range(0, parameter.numel(), 7):
            expected = slope(lambda: total(coder, x, weight, objective), parameter, index, 1e-6)
            assert float(step.gradients[name].view(-1)[index]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("n_models", [2, 3])
def test_a_thresholds_gradient_is_its_central_difference_over_the_bandwidth(n_models: int) -> None:
    """Of the number of active features exactly; through the features, `−θ/ε dF` of those within ε/2 (as loops)."""
    objective = OBJECTIVES["jumprelu"]
    coder, x = prepared(n_models, objective), batch(n_models)
    thresholds = coder.thresholds
    assert thresholds is not None
    step = GradientStep(coder, TOKENS, objective)
    with_penalty, without = (step(x, weight) and step.gradients["thresholds"].clone() for weight in (1.3, 0.0))
    for i in range(FEATURES):
        counted = slope(
            lambda: crosscoder_loss(coder, x, objective).sparsity, thresholds, i, objective.jump_bandwidth / 2
        )
        assert float(with_penalty[i] - without[i]) == pytest.approx(1.3 * counted, rel=1e-9, abs=1e-12)
        moved = -sum(through_the_step(coder, x, b, i, 0.0) for b in range(TOKENS))
        assert float(without[i]) == pytest.approx(moved, rel=1e-9, abs=1e-12)


def through_the_step(coder: Crosscoder, x: Tensor, b: int, i: int, weight: float) -> float:
    """`(θ dF + λ/B) / ε` where `|P − θ| < ε/2`, else 0: what token b gives P of feature i by its step."""
    bandwidth = OBJECTIVES["jumprelu"].jump_bandwidth
    assert coder.thresholds is not None
    threshold = float(coder.thresholds[i])
    if abs(float(x[b] @ coder.encoder[:, i] + coder.encoder_bias[i]) - threshold) >= bandwidth / 2:
        return 0.0
    residual = coder.decode(coder.encode(x[b])) - x[b]
    return (threshold * 2 * float(residual @ coder.decoder[i]) + weight) / TOKENS / bandwidth


@pytest.mark.parametrize("n_models", [2, 3])
def test_an_encoders_gradient_is_the_derivative_and_what_goes_through_the_step(n_models: int) -> None:
    objective, weight = OBJECTIVES["jumprelu"], 0.9
    coder, x = prepared(n_models, objective), batch(n_models)
    step = GradientStep(coder, TOKENS, objective)
    step(x, weight)
    for i in range(FEATURES):
        at_step = [through_the_step(coder, x, b, i, weight) for b in range(TOKENS)]
        smooth = slope(lambda: total(coder, x, weight, objective), coder.encoder_bias, i, 1e-6)
        assert float(step.gradients["encoder_bias"][i]) == pytest.approx(smooth + sum(at_step), rel=1e-4, abs=1e-6)
        for j in range(0, n_models * WIDTH, 5):
            smooth = slope(lambda: total(coder, x, weight, objective), coder.encoder, j * FEATURES + i, 1e-6)
            expected = smooth + sum(float(x[b, j]) * at_step[b] for b in range(TOKENS))
            assert float(step.gradients["encoder"][j, i]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("kept", [2, 50])
def test_dead_features_learn_what_the_others_leave(n_models: int, kept: int) -> None:
    objective = Objective(activation="batch_topk", active_features=3, auxiliary_features=kept, auxiliary_weight=0.25)
    coder, x = random_crosscoder(n_models), batch(n_models)
    dead = torch.tensor([1, 5, 6, 11])
    coder.encoder_bias[dead] -= 1.0
    step = GradientStep(coder, TOKENS, objective)
    result = step(x, 0.0, dead)
    error = x - coder.decode(result.features)

    def loss() -> Tensor:
        return total(coder, x, 0.0, objective) + 0.25 * auxiliary_loss(coder, x, error, dead, kept)

    assert float(result.auxiliary) == pytest.approx(float(loss() - total(coder, x, 0.0, objective)))
    for name, gradient in by_autograd(coder, loss).items():
        torch.testing.assert_close(step.gradients[name], gradient, rtol=1e-10, atol=1e-12)
        for index in range(0, gradient.numel(), 11):
            expected = slope(loss, coder.parameters[name], index, 1e-6)
            assert float(gradient.view(-1)[index]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_without_dead_features_there_is_no_auxiliary_loss() -> None:
    objective = Objective(activation="batch_topk", active_features=3)
    coder, x = random_crosscoder(2), batch(2)
    step = GradientStep(coder, TOKENS, objective)
    step(x, 0.0)
    before = {name: gradient.clone() for name, gradient in step.gradients.items()}
    assert step(x, 0.0, torch.empty(0, dtype=torch.int64)).auxiliary == 0
    assert all(torch.equal(before[name], gradient) for name, gradient in step.gradients.items())


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_batch_topk_keeps_the_largest_of_the_batch_by_what_they_write(penalty: str) -> None:
    """Sorted by `f_i c_i` with plain lists; tokens may have more or fewer than the mean."""
    objective = Objective(activation="batch_topk", active_features=3, norm_penalty=penalty)  # type: ignore[arg-type]
    coder, x = random_crosscoder(3), batch(3)
    result = GradientStep(coder, TOKENS, objective)(x, 0.0)
    joined = [float(row.view(3, WIDTH).norm(dim=1).sum() if penalty == "l1" else row.norm()) for row in coder.decoder]
    all_features = coder.encode(x)
    places = [(b, i) for b in range(TOKENS) for i in range(FEATURES)]
    largest = sorted(places, key=lambda at: -float(all_features[at]) * joined[at[1]])[: 3 * TOKENS]
    assert {(b, i) for b, i in result.features.nonzero().tolist()} == set(largest)
    assert float(result.smallest_kept) == pytest.approx(float(all_features[largest[-1]]) * joined[largest[-1][1]])
    assert len(set((result.features > 0).sum(dim=1).tolist())) > 1


@pytest.mark.parametrize("active_features", [1, 20, 250, 499, 600])
@pytest.mark.parametrize("quiet", [0.0, 2.0, 10.0])
def test_what_a_batch_keeps_is_exact_at_any_number(active_features: int, quiet: float) -> None:
    """With half of all features above zero, with few and with none."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(64, 500, generator=generator).sub_(quiet).relu_()
    norms = torch.rand(500, generator=generator)
    ranked = sorted((features * norms).flatten().tolist(), reverse=True)
    smallest = ranked[min(64 * active_features, len(ranked)) - 1]
    assert float(keep_top(features, norms, active_features)) == smallest


@pytest.fixture
def always_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPARSE_BELOW, "fp32", 2.0)


SPARSE = {name: objective for name, objective in OBJECTIVES.items() if name != "jumprelu"}


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("quiet", [0.0, 12.0, 1e6])
@pytest.mark.parametrize("objective", SPARSE.values(), ids=SPARSE)
@pytest.mark.usefixtures("always_sparse")
def test_products_of_active_features_alone_give_the_same_gradients(
    n_models: int, quiet: float, objective: Objective
) -> None:
    """With many features active, with few, and with none."""
    coder, x = random_crosscoder(n_models), batch(n_models)
    coder.encoder_bias -= quiet
    weight = 0.0 if objective.activation == "batch_topk" else 0.9
    step = GradientStep(coder, TOKENS, objective)
    result = step(x, weight)
    assert torch.allclose(result.squared_error, crosscoder_loss(coder, x, objective).squared_error, rtol=1e-12)
    for name, gradient in by_autograd(coder, lambda: total(coder, x, weight, objective)).items():
        torch.testing.assert_close(step.gradients[name], gradient, rtol=1e-10, atol=1e-12)


def test_the_measured_density_of_a_batch_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    densities = []

    def read(self: SparseProducts, features: Tensor) -> None:
        densities.append(float((features > 0).double().mean()))
        whole(self, features)

    whole = SparseProducts.read
    monkeypatch.setattr(SparseProducts, "read", read)
    coder, x = random_crosscoder(2), batch(2).repeat(16, 1)
    step = GradientStep(coder, len(x))
    for _ in range(12):
        step(x, 1.0)
        coder.encoder_bias -= 1.0
    assert 0 < len(densities) < 12
    assert max(densities) < SPARSE_BELOW["fp32"] <= 0.1


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("sparse_below", [0.0, 2.0], ids=["all features", "active features alone"])
def test_bf16_products_change_gradients_by_their_rounding_only(
    n_models: int, penalty: str, sparse_below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bf16 number has 8 bits: a gradient's error is a few times 2⁻⁹ of it, and no weight is touched.

    Encoder and batch are bf16 numbers to begin with, so that both ways agree on which features are active. The judge
    has fp32 products over all features.
    """
    monkeypatch.setitem(SPARSE_BELOW, "bf16", sparse_below)
    monkeypatch.setitem(SPARSE_BELOW, "fp32", 0.0)
    exact, x = random_crosscoder(n_models), batch(n_models).bfloat16().float()
    rounded = {name: parameter.bfloat16().float() for name, parameter in exact.parameters.items()}
    coder = Crosscoder(exact.models, exact.scales, **{**rounded, "decoder": exact.decoder.float()})
    weights = {name: parameter.clone() for name, parameter in coder.parameters.items()}
    objective = Objective(norm_penalty=penalty)  # type: ignore[arg-type]
    step, judge = (GradientStep(coder, TOKENS, objective, precision) for precision in ("bf16", "fp32"))
    step(x, 0.9)
    judge(x, 0.9)
    for name, gradient in judge.gradients.items():
        assert step.gradients[name].dtype == torch.float32
        assert float((step.gradients[name] - gradient).norm() / gradient.norm()) < 8 * 2**-9
        assert torch.equal(coder.parameters[name], weights[name])


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

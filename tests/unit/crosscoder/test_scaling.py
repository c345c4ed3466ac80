"""Latent scaling against a least-squares loop, and on crosscoders whose flaw is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, latent_scaling


def random_case(n_models: int) -> tuple[Crosscoder, JointActivations, Tensor]:
    """Nothing special, on data of uneven sequences; feature 3 never fires, 4 writes nothing."""
    width, n_features, tokens = 5, 8, 90
    generator = torch.Generator().manual_seed(n_models)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    names, scales = tuple("abcd"[:n_models]), tuple(0.5 + index for index in range(n_models))
    coder = Crosscoder(
        names, scales, normal(n_models * width, n_features), normal(n_features),
        normal(n_features, n_models * width), normal(n_models * width),
    )  # fmt: skip
    coder.encoder_bias[3] = -1e3
    coder.decoder[4] = 0
    return (
        coder,
        JointActivations(names, tuple(normal(tokens, width) for _ in names), scales),
        torch.tensor([20, 1, 30, 9, 30]),
    )


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_betas_are_least_squares_fits_of_single_features(n_models: int) -> None:
    """NumPy's solver on the stacked tokens of one feature and model at a time, each target written out."""
    coder, data, lengths = random_case(n_models)
    found = latent_scaling(coder, data, lengths, resamples=0, batch=32)
    x = torch.cat([raw * scale for raw, scale in zip(data.raw, data.scales, strict=True)], dim=1)
    features = coder.encode(x).double()
    rows = coder.decoder_by_model.double()
    for i in range(coder.n_features):
        if i in (3, 4):
            assert found.reconstruction[:, i].isnan().all()
            assert found.error[:, i].isnan().all()
            assert found.nu_error.value[:, i].isnan().all()
            continue
        owner = max(range(n_models), key=lambda m: float(rows[m, i].abs().sum()))
        assert found.owner[i] == owner
        design = (features[:, i : i + 1] * rows[owner, i]).reshape(-1, 1).numpy()
        betas: dict[str, list[float]] = {"reconstruction": [], "error": []}
        for m in range(n_models):
            mine = x.double()[:, m * 5 : (m + 1) * 5]
            others = [j for j in range(coder.n_features) if j != i]
            bias = coder.decoder_bias.double()[m * 5 : (m + 1) * 5]
            without = features[:, others] @ rows[m, others] + bias
            whole = without + features[:, i : i + 1] * rows[m, i]
            for name, target in (("reconstruction", whole), ("error", mine - without)):
                betas[name].append(float(np.linalg.lstsq(design, target.reshape(-1).numpy(), rcond=None)[0][0]))
        for name, expected in betas.items():
            assert getattr(found, name)[:, i].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)
            ratios = getattr(found, f"nu_{name}").value[:, i].tolist()
            assert ratios == pytest.approx([beta / expected[owner] for beta in expected], rel=1e-3, abs=1e-4)


def flawed(strength: float, twin: bool) -> tuple[Crosscoder, JointActivations, Tensor]:
    """One concept that base has at `strength` times the tuned model's; the decoder writes it for tuned only.

    `twin`: a second feature of the same firing writes it for base, so that base's reconstruction has it.
    """
    width, tokens = 6, 4000
    generator = torch.Generator().manual_seed(0)
    concept = torch.nn.functional.one_hot(torch.tensor(2), width).float()
    on = (torch.rand(tokens, generator=generator) < 0.1) * (1 + torch.rand(tokens, generator=generator))
    noise = [0.05 * torch.randn(tokens, width, generator=generator) for _ in range(2)]
    raw = (strength * on[:, None] * concept + noise[0], on[:, None] * concept + noise[1])
    encoder = torch.zeros(2 * width, 2)
    encoder[width + 2] = 1  # both features read the tuned model
    decoder = torch.zeros(2, 2 * width)
    decoder[0, width + 2] = 1
    if twin:
        decoder[1, 2] = strength
    coder = Crosscoder(("base", "tuned"), (1.0, 1.0), encoder, torch.full((2,), -0.2), decoder, torch.zeros(2 * width))
    return coder, JointActivations(("base", "tuned"), raw, (1.0, 1.0)), torch.full((40,), 100)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_complete_shrinkage_shows_in_the_error(strength: float) -> None:
    found = latent_scaling(*flawed(strength, twin=False))
    assert found.owner[0] == 1
    assert found.nu_error.value[:, 0].tolist() == pytest.approx([strength, 1.0], abs=0.02)
    assert found.nu_reconstruction.value[:, 0].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_latent_decoupling_shows_in_the_reconstruction(strength: float) -> None:
    found = latent_scaling(*flawed(strength, twin=True))
    assert found.nu_reconstruction.value[0, 0] == pytest.approx(strength, abs=1e-4)
    assert found.nu_error.value[0, 0] < 0.3 * strength


def test_intervals_are_those_of_drawing_whole_sequences() -> None:
    """Against the loop: draw sequences with replacement, put their tokens together, fit again."""
    coder, data, lengths = flawed(0.4, twin=False)
    found = latent_scaling(coder, data, lengths, resamples=2000, seed=3)
    x = torch.cat(data.raw, dim=1)
    firing = coder.encode(x)[:, 0]
    errors = [x[:, 2], x[:, 8] - coder.decode(coder.encode(x))[:, 8] + firing]
    generator = np.random.default_rng(0)
    ratios = []
    for _ in range(2000):
        tokens = np.concatenate([np.arange(100) + 100 * n for n in generator.integers(0, 40, 40)])
        base, tuned = (float((firing[tokens] * error[tokens]).sum()) for error in errors)
        ratios.append(base / tuned)
    low, high = np.quantile(ratios, [0.025, 0.975])
    assert found.nu_error.low[0, 0] == pytest.approx(low, abs=0.15 * (high - low))
    assert found.nu_error.high[0, 0] == pytest.approx(high, abs=0.15 * (high - low))


def test_a_feature_of_one_sequence_has_no_interval() -> None:
    coder, data, lengths = flawed(0.4, twin=False)
    data.raw[1][100:] = 0
    found = latent_scaling(coder, data, lengths)
    assert found.nu_error.value[0, 0].isfinite()
    assert found.nu_error.low[0, 0].isnan()

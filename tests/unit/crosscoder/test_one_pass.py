"""Several measures from one pass over the tokens: the same as each alone, and every token encoded once."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import (
    Crosscoder,
    FiringMeter,
    JointActivations,
    QualityMeter,
    ScalingMeter,
    UseMeter,
    firing,
    latent_scaling,
    measure,
    read_once,
    share_of_use,
)

LENGTHS = torch.tensor([20, 1, 30, 9, 30, 17])


@dataclass
class Counting(Crosscoder):
    """Counts the rows that it encodes, and those that it decodes."""

    encoded: int = 0
    decoded: int = 0

    def encode(self, x: Tensor) -> Tensor:
        self.encoded += len(x)
        return super().encode(x)

    def decode(self, features: Tensor) -> Tensor:
        self.decoded += len(features)
        return super().decode(features)


@pytest.fixture
def case() -> tuple[Counting, JointActivations]:
    generator = torch.Generator().manual_seed(0)
    names, scales = ("a", "b", "c"), (1.0, 2.0, 0.5)
    shapes = [(12, 9), (9,), (9, 12), (12,)]
    coder = Counting(names, scales, *(torch.randn(shape, generator=generator) for shape in shapes))
    raw = tuple(torch.randn(int(LENGTHS.sum()), 4, generator=generator) for _ in names)
    return coder, JointActivations(names, raw, scales)


def test_measures_that_share_a_pass_are_those_of_passes_of_their_own(case: tuple[Counting, JointActivations]) -> None:
    coder, data = case
    groups = torch.rand(2, 9, generator=torch.Generator().manual_seed(1)) < 0.4
    quality, scaling = QualityMeter(coder, dense_rate=0.5), ScalingMeter(coder, resamples=20, seed=3)
    examples, use = FiringMeter(coder, k=3), UseMeter(coder, groups, resamples=50, seed=4)
    read_once(coder, data, LENGTHS, [quality, scaling, examples, use], batch=32)
    assert coder.encoded == coder.decoded == int(LENGTHS.sum())

    torch.testing.assert_close(
        vars(scaling.compute()), vars(latent_scaling(coder, data, LENGTHS, resamples=20, seed=3, batch=32)),
        rtol=0, atol=0, equal_nan=True,
    )  # fmt: skip
    torch.testing.assert_close(
        vars(examples.compute()), vars(firing(coder, data, LENGTHS, k=3, batch=32)), rtol=0, atol=0
    )
    alone = share_of_use(coder, data, groups, LENGTHS, resamples=50, seed=4, batch=32)
    torch.testing.assert_close(use.compute(), alone, rtol=0, atol=0)
    # Alone it takes chunks of 32 rows whatever the sequences, so its sums are rounded elsewhere.
    found, own = quality.compute(), measure(coder, data, dense_rate=0.5, batch=32)
    assert found.variance_explained == pytest.approx(own.variance_explained, rel=1e-5)
    assert (found.l0, found.dead, found.dense) == (own.l0, own.dead, own.dense)
    torch.testing.assert_close(found.features.tensors(), own.features.tensors())


def test_what_no_measure_asks_for_is_not_made(case: tuple[Counting, JointActivations]) -> None:
    coder, data = case
    firing(coder, data, LENGTHS)
    assert (coder.encoded, coder.decoded) == (int(LENGTHS.sum()), 0)

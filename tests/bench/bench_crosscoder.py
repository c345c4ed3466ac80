"""A whole crosscoder training step against its five matrix products alone: CPU seconds, in one run.

Run by `make bench`, or: `python tests/bench/bench_crosscoder.py`. The step is all of it: the batch from stored
activations, loss, gradients, clipping, Adam. The two take turns, so that a busy machine slows both; medians are
compared.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

from rlgen_k8s.crosscoder import JointActivations, Trainer, TrainingPlan

WANTED = 1.5
BATCH = 1024
SHAPES = {"d 512, D 8192, M 2": (512, 8192, 5), "d 64, D 512, M 2": (64, 512, 200)}


def matrix_products(width: int, n_features: int) -> Callable[[], None]:
    """The five products of a step, on memory of their own that is allocated before."""
    x, residual = (torch.randn(BATCH, width) for _ in range(2))
    features, feature_gradients = (torch.randn(BATCH, n_features) for _ in range(2))
    encoder, encoder_gradient = (torch.randn(width, n_features) for _ in range(2))
    decoder, decoder_gradient = (torch.randn(n_features, width) for _ in range(2))

    def work() -> None:
        torch.mm(x, encoder, out=features)
        torch.mm(features, decoder, out=residual)
        torch.mm(features.T, residual, out=decoder_gradient)
        torch.mm(residual, decoder.T, out=feature_gradients)
        torch.mm(x.T, feature_gradients, out=encoder_gradient)

    return work


def trainer(width: int, n_features: int) -> Trainer:
    """Two models' stored activations (bfloat16, as a harvest stores them) and a plan with every part switched on."""
    raw = tuple(torch.randn(8 * BATCH, width).bfloat16() for _ in range(2))
    plan = TrainingPlan(
        n_features=n_features,
        sparsity_weight=2.0,
        batch=BATCH,
        learning_rate=1e-4,
        epochs=1000,
        sparsity_warmup=0.05,
        learning_rate_decay=0.2,
        max_gradient_norm=1.0,
        decoder_norm=0.08,
        seed=0,
    )
    return Trainer(JointActivations(("base", "tuned"), raw, (1.0, 1.0)), plan)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Print the table; exit code 1 if a ratio is above what is wanted."""
    torch.manual_seed(0)
    good = True
    print(f"{'crosscoder step':<22}{'step':>12}{'products':>12}{'GFLOP/s':>10}{'ratio':>7}")
    for name, (width, n_features, rounds) in SHAPES.items():
        products, training = matrix_products(2 * width, n_features), trainer(width, n_features)
        products()
        training.advance()
        pairs = [(seconds(training.advance), seconds(products)) for _ in range(rounds)]
        step, alone = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = step / alone
        good &= ratio <= WANTED
        flops = 10 * BATCH * 2 * width * n_features
        print(f"{name:<22}{step * 1e3:>9.1f} ms{alone * 1e3:>9.1f} ms{flops / alone / 1e9:>10.0f}{ratio:>7.2f}")
    print(f"wanted: a ratio of at most {WANTED}: {'yes' if good else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

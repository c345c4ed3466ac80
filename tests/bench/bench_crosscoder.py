"""Whole crosscoder training steps against their matrix products and against a plain implementation, in one run.

Run by `make bench`, or: `python -m tests.bench.bench_crosscoder`. CPU seconds; medians of rounds in which everything
takes its turn, so that a busy machine slows all alike. A step is all of it: the batch from stored activations, loss,
gradients, clipping, Adam. The limit is the time of the step's five products alone, in fp32. The plain implementation is
written as public ones are: einsum over the models, autograd, `torch.optim.Adam`, a batch at hand. Memory is the peak of
a process of its own, above what it held before the trainer was made.
"""

import multiprocessing
import statistics
import sys
from collections.abc import Callable

import torch
from tests.bench import timing
from tests.bench.plain_crosscoder import PlainTrainer

from rlgen_k8s.crosscoder import JointActivations, Trainer, TrainingPlan
from rlgen_k8s.crosscoder.step import Precision

BATCH, N_MODELS = 1024, 2
SHAPES = {"d 512, D 8192": (512, 8192, 5), "d 64, D 512": (64, 512, 60)}
DENSITIES = (0.01, 0.002)
LIMIT_WANTED, PLAIN_WANTED, SPARSE_WANTED = 0.9, 2.5, {0.01: 2.0, 0.002: 3.0}


def matrix_products(
    width: int, n_features: int, dtype: torch.dtype, *, batch: int = BATCH, device: str = "cpu"
) -> Callable[[], None]:
    """The five products of a step, on memory of their own that is allocated before."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=dtype, device=device)

    x, residual = (normal(batch, width) for _ in range(2))
    features, feature_gradients = (normal(batch, n_features) for _ in range(2))
    encoder, encoder_gradient = (normal(width, n_features) for _ in range(2))
    decoder, decoder_gradient = (normal(n_features, width) for _ in range(2))

    def work() -> None:
        torch.mm(x, encoder, out=features)
        torch.mm(features, decoder, out=residual)
        torch.mm(features.T, residual, out=decoder_gradient)
        torch.mm(residual, decoder.T, out=feature_gradients)
        torch.mm(x.T, feature_gradients, out=encoder_gradient)

    return work


def trainer(
    width: int,
    n_features: int,
    precision: Precision,
    density: float | None = None,
    *,
    n_models: int = N_MODELS,
    batch: int = BATCH,
    device: str = "cpu",
) -> Trainer:
    """Models' stored activations (bfloat16, as a harvest stores them) and a plan with every part switched on.

    With `density` this share of the features is active, and the learning rate is next to nothing, so that it stays.
    """
    raw = tuple(torch.randn(8 * batch, width).bfloat16() for _ in range(n_models))
    plan = TrainingPlan(
        n_features=n_features,
        sparsity_weight=2.0,
        batch=batch,
        learning_rate=1e-4 if density is None else 1e-9,
        epochs=1000,
        sparsity_warmup=0.05,
        learning_rate_decay=0.2,
        max_gradient_norm=1.0,
        decoder_norm=0.08,
        seed=0,
        precision=precision,
    )
    names = tuple(f"model-{number}" for number in range(n_models))
    made = Trainer(JointActivations(names, raw, (1.0,) * n_models), plan, device)
    if density is not None:
        set_density(made, density)
    return made


def first_batch(made: Trainer) -> torch.Tensor:
    """[batch, M * d] on the trainer's device: the first of its stored tokens."""
    data, batch = made.data, made.plan.batch
    return data.fill(torch.arange(batch), made.crosscoder.decoder.new_empty(batch, len(data.models) * data.width))


def set_density(made: Trainer, density: float) -> None:
    """Move the encoder's bias so that this share of the features is active."""
    sample = made.crosscoder.preactivations(first_batch(made)).flatten()
    made.crosscoder.encoder_bias -= sample[:: max(1, len(sample) // 100_000)].quantile(1 - density)


def medians(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of one call of each, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for counts in (False, *[True] * rounds):
        for name, work in works.items():
            taken = timing.seconds(work)
            if counts:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(shape: str, width: int, n_features: int, rounds: int) -> dict[str, float]:
    """Print the steps of one shape; returns seconds by name."""
    works: dict[str, Callable[[], object]] = {
        "products fp32": matrix_products(N_MODELS * width, n_features, torch.float32),
        "products bf16": matrix_products(N_MODELS * width, n_features, torch.bfloat16),
        "plain fp32": PlainTrainer(N_MODELS, width, n_features, BATCH).advance,
    }
    for precision in ("fp32", "bf16"):
        works[f"step {precision}"] = trainer(width, n_features, precision).advance
        for density in DENSITIES:
            works[f"step {precision} at {density:.1%}"] = trainer(width, n_features, precision, density).advance
    seconds = medians(works, rounds)
    print(f"\n{shape}, M {N_MODELS}, batch {BATCH:<10}{'ms':>10}{'limit/step':>12}{'plain/step':>12}")
    for name, taken in seconds.items():
        limit, plain = seconds["products fp32"] / taken, seconds["plain fp32"] / taken
        print(f"{name:<36}{taken * 1e3:>10.1f}{limit:>12.2f}{plain:>12.2f}")
    return seconds


def peak_memory(precision: Precision, density: float | None) -> tuple[float, float]:
    """MB at the peak of three steps, and of weights, Adam's two moments and a batch; in a process of its own."""
    width, n_features, _ = SHAPES["d 512, D 8192"]
    before = timing.resident("VmRSS")
    made = trainer(width, n_features, precision, density)
    for _ in range(3):
        made.advance()
    weights = sum(parameter.nbytes for parameter in made.crosscoder.parameters.values())
    return timing.resident("VmHWM") - before, (3 * weights + 4 * BATCH * N_MODELS * width) / 1e6


def print_memory() -> None:
    """One line for each way of multiplying."""
    print(f"\n{'memory at d 512, D 8192':<36}{'peak MB':>10}{'state + batch':>15}{'ratio':>8}")
    for precision, density in (("fp32", None), ("bf16", None), ("bf16", 0.01)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak, least = pool.apply(peak_memory, (precision, density))
        name = f"step {precision}" + (f" at {density:.1%}" if density else "")
        print(f"{name:<36}{peak:>10.0f}{least:>15.0f}{peak / least:>8.2f}")


def print_growth() -> None:
    """The cost of whole trainings on 1, 2, 4 and 8 times as many tokens, a trainer's making included."""
    width, n_features, _ = SHAPES["d 64, D 512"]

    def training(times: int) -> Callable[[], None]:
        def work() -> None:
            made = trainer(width, n_features, "fp32")
            for _ in range(8 * times):
                made.advance()

        return work

    seconds = medians({f"{8 * times * BATCH} tokens": training(times) for times in (1, 2, 4, 8)}, rounds=3)
    first = next(iter(seconds.values()))
    print(f"\n{'training at d 64, D 512':<36}{'ms':>10}{'times':>15}")
    for name, taken in seconds.items():
        print(f"{name:<36}{taken * 1e3:>10.0f}{taken / first:>15.2f}")


def main() -> int:
    """Print the tables; exit code 1 if a ratio is below what is wanted at the large shape."""
    torch.manual_seed(0)
    print(f"threads {torch.get_num_threads()}")
    by_shape = {shape: compare(shape, *sizes) for shape, sizes in SHAPES.items()}
    print_memory()
    print_growth()
    large = by_shape["d 512, D 8192"]
    limit, plain = large["products fp32"], large["plain fp32"]
    wanted = {
        "fp32 step / fp32 products": (limit / large["step fp32"], LIMIT_WANTED),
        "bf16 step / plain": (plain / large["step bf16"], PLAIN_WANTED),
        **{
            f"bf16 step at {density:.1%} / fp32 products": (limit / large[f"step bf16 at {density:.1%}"], ratio)
            for density, ratio in SPARSE_WANTED.items()
        },
    }
    print()
    for name, (ratio, least) in wanted.items():
        print(f"{name:<40}{ratio:>6.2f}   wanted {least}: {'yes' if ratio >= least else 'NO'}")
    return 0 if all(ratio >= least for ratio, least in wanted.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

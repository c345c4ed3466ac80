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
from dataclasses import replace
from typing import get_args

import torch
from tests.bench import timing
from tests.bench.plain_crosscoder import PlainTrainer

from rlgen_k8s.crosscoder import JointActivations, Trainer, TrainingPlan, measure
from rlgen_k8s.crosscoder.step import Precision

BATCH, N_MODELS = 1024, 2
LARGE, LARGE_OF_THREE, SMALL = "d 512, D 8192, M 2", "d 512, D 8192, M 3", "d 64, D 512, M 2"
SHAPES = {LARGE: (512, 8192, 2, 5), LARGE_OF_THREE: (512, 8192, 3, 3), SMALL: (64, 512, 2, 60)}
DENSITIES = (0.01, 0.002)
LIMIT_WANTED, PLAIN_WANTED, SPARSE_WANTED = 0.9, 2.5, {0.01: 2.0, 0.002: 3.0}
VARIANCE_WANTED = 0.003
"""How far bf16 products may be from fp32's share of held-out variance."""
MEMORY_WANTED = 2.2
"""Peak over weights, Adam's moments and a batch. One more tensor of every model's, token's and feature's adds 0.3."""
GROWTH_WANTED = 10.0
"""Times the cost of a training that 8 times as many tokens may have."""


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


def compare(shape: str, width: int, n_features: int, n_models: int, rounds: int) -> dict[str, float]:
    """Print the steps of one shape; returns seconds by name."""
    works: dict[str, Callable[[], object]] = {
        "products fp32": matrix_products(n_models * width, n_features, torch.float32),
        "products bf16": matrix_products(n_models * width, n_features, torch.bfloat16),
        "plain fp32": PlainTrainer(n_models, width, n_features, BATCH).advance,
    }
    for precision in ("fp32", "bf16"):
        works[f"step {precision}"] = trainer(width, n_features, precision, n_models=n_models).advance
        for density in DENSITIES:
            made = trainer(width, n_features, precision, density, n_models=n_models)
            works[f"step {precision} at {density:.1%}"] = made.advance
    seconds = medians(works, rounds)
    print(f"\n{shape}, batch {BATCH:<10}{'ms':>10}{'limit/step':>12}{'plain/step':>12}")
    for name, taken in seconds.items():
        limit, plain = seconds["products fp32"] / taken, seconds["plain fp32"] / taken
        print(f"{name:<36}{taken * 1e3:>10.1f}{limit:>12.2f}{plain:>12.2f}")
    return seconds


def peak_memory(precision: Precision, density: float | None) -> tuple[float, float]:
    """MB at the peak of three steps, and of weights, Adam's two moments and a batch; in a process of its own."""
    width, n_features, *_ = SHAPES[LARGE]
    before = timing.resident("VmRSS")
    made = trainer(width, n_features, precision, density)
    for _ in range(3):
        made.advance()
    weights = sum(parameter.nbytes for parameter in made.crosscoder.parameters.values())
    return timing.resident("VmHWM") - before, (3 * weights + 4 * BATCH * N_MODELS * width) / 1e6


def print_memory() -> float:
    """One line for each way of multiplying; returns the largest ratio."""
    ratios = []
    print(f"\n{'memory at d 512, D 8192':<36}{'peak MB':>10}{'state + batch':>15}{'ratio':>8}")
    for precision, density in (("fp32", None), ("bf16", None), ("bf16", 0.01)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak, least = pool.apply(peak_memory, (precision, density))
        name = f"step {precision}" + (f" at {density:.1%}" if density else "")
        print(f"{name:<36}{peak:>10.0f}{least:>15.0f}{peak / least:>8.2f}")
        ratios.append(peak / least)
    return max(ratios)


def print_growth() -> float:
    """The cost of whole trainings on 1, 2, 4 and 8 times as many tokens, a trainer's making included.

    Returns how many times the first cost the last has.
    """
    width, n_features, *_ = SHAPES[SMALL]

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
    return taken / first


def planted(n_models: int, width: int, n_directions: int, tokens: int) -> tuple[torch.Tensor, ...]:
    """[tokens, width] for each model: sparse sums of directions, of which each model lacks its own tenth, and noise."""
    directions = torch.nn.functional.normalize(torch.randn(n_directions, width), dim=1)
    active = torch.rand(tokens, n_directions) < 8 / n_directions
    strength = active * (1 + torch.rand(tokens, n_directions))
    raw = []
    for m in range(n_models):
        lacking = torch.arange(n_directions) % 10 != m
        raw.append((strength * lacking) @ directions + 0.02 * torch.randn(tokens, width))
    return tuple(raw)


def print_variance(n_models: int) -> float:
    """Held-out variance explained after a training in fp32 and in bf16; returns the largest difference of a model."""
    tokens = 32 * BATCH
    raw = planted(n_models, 64, 256, tokens + 4 * BATCH)
    scales = tuple(float(64**0.5 / tensor.norm(dim=1).mean()) for tensor in raw)
    names = tuple(f"model-{number}" for number in range(n_models))
    seen, held_out = (
        JointActivations(names, tuple(tensor[part] for tensor in raw), scales)
        for part in (slice(tokens), slice(tokens, None))
    )
    explained = {}
    for precision in get_args(Precision):
        plan = replace(trainer(64, 512, precision).plan, learning_rate=3e-3, epochs=10, sparsity_weight=1.0)
        made = Trainer(seen, plan)
        while made.step < made.total_steps:
            made.advance()
        explained[precision] = measure(made.crosscoder, held_out, dense_rate=0.1).variance_explained
    print(f"\n{f'held-out variance, d 64, D 512, M {n_models}':<36}{'fp32':>10}{'bf16':>10}")
    for name in names:
        print(f"{name:<36}{explained['fp32'][name]:>10.4f}{explained['bf16'][name]:>10.4f}")
    return max(abs(explained["fp32"][name] - explained["bf16"][name]) for name in names)


def main() -> int:
    """Print the tables; exit code 1 if a figure is not what is wanted; speed is judged at the large shapes."""
    torch.manual_seed(0)
    print(f"threads {torch.get_num_threads()}")
    by_shape = {shape: compare(shape, *sizes) for shape, sizes in SHAPES.items()}
    memory = print_memory()
    growth = print_growth()
    apart = {n_models: print_variance(n_models) for n_models in (2, 3)}
    wanted = {}
    for shape in (LARGE, LARGE_OF_THREE):
        seconds = by_shape[shape]
        limit, plain = seconds["products fp32"], seconds["plain fp32"]
        wanted |= {
            f"{shape}: fp32 step / fp32 products": (limit / seconds["step fp32"], LIMIT_WANTED),
            f"{shape}: bf16 step / plain": (plain / seconds["step bf16"], PLAIN_WANTED),
        }
        wanted |= {
            f"{shape}: bf16 step at {density:.1%} / fp32 products": (
                limit / seconds[f"step bf16 at {density:.1%}"],
                ratio,
            )
            for density, ratio in SPARSE_WANTED.items()
        }
    allowed = {f"variance of bf16 from fp32, M {n}": (found, VARIANCE_WANTED) for n, found in apart.items()}
    allowed["peak memory / state + batch"] = (memory, MEMORY_WANTED)
    allowed["cost of 8 times the tokens"] = (growth, GROWTH_WANTED)
    print()
    for name, (ratio, least) in wanted.items():
        print(f"{name:<56}{ratio:>8.2f}   at least {least}: {'yes' if ratio >= least else 'NO'}")
    for name, (found, most) in allowed.items():
        print(f"{name:<56}{found:>8.4g}   at most {most}: {'yes' if found <= most else 'NO'}")
    enough = all(ratio >= least for ratio, least in wanted.values())
    return 0 if enough and all(found <= most for found, most in allowed.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

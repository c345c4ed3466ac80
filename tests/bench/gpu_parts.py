"""The parts of `gpu_check`, each in a process of its own: `python -m tests.bench.gpu_parts [--small] PART FILE`.

The rows of the table go to FILE, what trainers print to standard output.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from tests.bench import bench_crosscoder, bench_harvest, bench_stream, gpu_trainings
from tests.bench.shapes import qwen3
from tests.bench.timing import peak_memory, seconds
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlgen_k8s.cost.architectures import ARCHITECTURES, Architecture
from rlgen_k8s.crosscoder.sparse import SparseProducts
from rlgen_k8s.lm.middle import drop_upper_half

DENSITIES = (0.01, 0.003, 0.001)
MODELS = ("base", "sft", "rl")
CROSSCODERS = {"sft": ("base", "sft"), "all": MODELS}


class Row(NamedTuple):
    """One line of the table; `share` is of what `what` says."""

    what: str
    rate: str
    share: float | None = None
    wanted: str = ""
    memory: float | None = None
    """GB."""


class Sizes(NamedTuple):
    """What is measured."""

    device: str
    model: Architecture
    n_features: int
    batch: int
    """Tokens of a crosscoder's step."""
    forward: int
    """Sequences of a forward pass."""
    length: int
    units: int
    """Forward passes that cover the stream's text."""
    rounds: int


LARGE = Sizes("cuda", ARCHITECTURES["Qwen/Qwen3-4B-Base"], 32_768, 4096, 64, 1024, 8, 10)
SMALL = Sizes("cpu", Architecture(4, 32, 64, 2, 2, 16, 64, tied=True), 32, 16, 4, 16, 2, 1)


def random_model(sizes: Sizes) -> PreTrainedModel:
    """Random weights in bf16."""
    with torch.device(sizes.device):
        return AutoModelForCausalLM.from_config(qwen3(sizes.model), dtype=torch.bfloat16).eval()


def crosscoder(sizes: Sizes) -> Iterator[Row]:
    """Whole steps in bf16, as a share of what their five products would take at the rate of the products alone."""
    yield from crosscoder_steps(sizes, 2)
    yield from crosscoder_steps(sizes, 3)


def crosscoder_steps(sizes: Sizes, n_models: int) -> Iterator[Row]:
    """Of one crosscoder, at several shares of active features; a dense step's time does not depend on them."""
    from rlgen_k8s.crosscoder.sparse_triton import TritonProducts  # in this part alone

    width, features, batch, device = sizes.model.width, sizes.n_features, sizes.batch, sizes.device
    flops = 10 * batch * n_models * width * features
    products = bench_crosscoder.matrix_products(n_models * width, features, torch.bfloat16, batch=batch, device=device)
    limit = bench_crosscoder.medians({"products": products}, sizes.rounds)["products"]
    yield Row(f"five products, {n_models} models", f"{flops / limit / 1e12:.3g} TFLOP/s", 1.0)
    del products

    made = bench_crosscoder.trainer(
        width, features, "bf16", DENSITIES[0], n_models=n_models, batch=batch, device=device
    )
    x, step, coder = bench_crosscoder.first_batch(made), made.gradient_step, made.crosscoder

    def advance(sparse: SparseProducts | TritonProducts, below: float) -> None:
        step.sparse, step.sparse_below = sparse, below
        made.advance(x)

    csr, triton = SparseProducts(coder), TritonProducts(coder, torch.bfloat16)
    for density in DENSITIES:
        bench_crosscoder.set_density(made, density)
        ways = {
            f"CSR at {density:.1%}": partial(advance, csr, 2.0),
            f"Triton at {density:.1%}": partial(advance, triton, 2.0),
        }
        if density == DENSITIES[0]:
            ways = {"dense": partial(advance, csr, 0.0), **ways}
        for way, taken in bench_crosscoder.medians(ways, sizes.rounds).items():
            rate = f"{flops / taken / 1e12:.3g} TFLOP/s, {batch / taken:,.0f} tokens/s"
            wanted = "0.6 of the products" if way == "dense" else ""
            peak = peak_memory(ways[way]) / 1e3
            yield Row(f"step, {n_models} models, {way}", rate, limit / taken, wanted, peak)


def harvest(sizes: Sizes) -> Iterator[Row]:
    """Storing activations, against the half forward alone."""
    model = random_model(sizes)
    bench_harvest.of_bare(model, 1, sizes.forward, sizes.length)
    whole, bare = bench_harvest.of_bare(model, 3, sizes.forward, sizes.length)
    tokens = 4 * sizes.forward * sizes.length
    flops = tokens * sizes.model.forward_flops(sizes.length / 2, sizes.model.layers // 2)
    yield Row("half forward", f"{flops / bare / 1e12:.3g} TFLOP/s, {tokens / bare:,.0f} tokens/s", 1.0)
    yield Row("harvest, stored", f"{tokens / whole:,.0f} tokens/s", bare / whole, "0.9 of the half forward")


def stream(sizes: Sizes) -> Iterator[Row]:
    """Three models and two crosscoders, from models in host memory to trained weights; scales estimated before."""
    models = {name: random_model(sizes) for name in MODELS}
    for model in models.values():
        drop_upper_half(model)
        torch.nn.Module.to(model, "cpu")
    text = bench_stream.tokens(sizes.units, sizes.forward, sizes.length, sizes.model.vocabulary)
    plan = replace(bench_stream.PLAN, n_features=sizes.n_features, batch=sizes.batch, precision="bf16")

    alone = seconds(partial(exhaust, bench_stream.stream(models, text, sizes.batch, sizes.device).batches()))
    training = bench_stream.new_training(models, text, CROSSCODERS, plan, sizes.device)
    took: list[float] = []
    peak = peak_memory(lambda: took.append(seconds(partial(exhaust, training.run()))))
    tokens = int(text.kept.sum())
    yield Row("stream, 3 models, 2 crosscoders", f"{tokens / took[0]:,.0f} tokens/s", 1.0, memory=peak / 1e3)
    yield Row("its batches alone", f"{tokens / alone:,.0f} tokens/s", alone / took[0])


def exhaust(things: Iterator[object]) -> None:
    """Take all."""
    for _ in things:
        pass


def sft(sizes: Sizes) -> Iterator[Row]:
    """The stage with LLaMA-Factory and DeepSpeed's ZeRO-3."""
    steps = gpu_trainings.sft(on_gpu=sizes.device == "cuda")
    yield Row("stage sft, ZeRO-3, small model", a_step(steps))


def grpo(sizes: Sizes) -> Iterator[Row]:
    """The stage with verl, and vLLM's rollouts where there is a GPU."""
    engine = "vLLM" if sizes.device == "cuda" else "Hugging Face"
    steps = gpu_trainings.grpo(on_gpu=sizes.device == "cuda")
    wholes, rollouts, updates = ([getattr(step, name) for step in steps] for name in gpu_trainings.Step._fields)
    yield Row(f"stage grpo, {engine} rollouts, small model", a_step(wholes), 1.0)
    yield Row("its rollouts", a_step(rollouts), sum(rollouts) / sum(wholes))
    yield Row("its updates", a_step(updates), sum(updates) / sum(wholes))


def a_step(seconds: list[float]) -> str:
    """The rate of a training."""
    return f"{statistics.median(seconds):.3g} s a step, median of {len(seconds)}"


PARTS: dict[str, Callable[[Sizes], Iterator[Row]]] = {
    "crosscoder": crosscoder,
    "harvest": harvest,
    "stream": stream,
    "sft": sft,
    "grpo": grpo,
}


def line(row: Row) -> str:
    """A row of the table."""
    share = "" if row.share is None else f"{row.share:.2f}"
    memory = "" if row.memory is None else f"{row.memory:.1f}"
    return f"| {row.what} | {row.rate} | {share} | {row.wanted} | {memory} |"


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(prog="gpu_parts", description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    torch.manual_seed(0)
    for row in PARTS[asked.part](SMALL if asked.small else LARGE):
        with asked.file.open("a") as file:
            file.write(f"{line(row)}\n")


if __name__ == "__main__":
    main()

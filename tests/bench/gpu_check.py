"""What only a GPU can measure, as a table in Markdown; at most 10 minutes on one H200.

Run by `make gpu-check`, or: `python -m tests.bench.gpu_check [--small] [PART …]`. Parts: crosscoder, harvest, stream,
sft, grpo. With TRITON_INTERPRET=1, `--small` goes the same ways at toy sizes on a CPU. A part that fails is named with
its reason, the others go on, and the exit code is 1.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from tests.bench import bench_crosscoder, bench_harvest, bench_stream, gpu_trainings
from tests.bench.timing import peak_memory, seconds
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from rlgen_k8s.cost.architectures import ARCHITECTURES, Architecture
from rlgen_k8s.crosscoder.sparse import SparseProducts
from rlgen_k8s.lm.middle import drop_upper_half

DENSITIES = (0.01, 0.003, 0.001)
MODELS = ("base", "sft", "rl")
CROSSCODERS = {"sft": ("base", "sft"), "all": MODELS}
COLUMNS = ("what", "rate", "share", "wanted", "peak memory, GB")


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
    shape = sizes.model
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        tie_word_embeddings=shape.tied,
    )
    with torch.device(sizes.device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


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
    steps, took = gpu_trainings.sft(on_gpu=sizes.device == "cuda")
    yield Row("stage sft, ZeRO-3, small model", f"{steps} steps in {took:.0f} s, start included")


def grpo(sizes: Sizes) -> Iterator[Row]:
    """The stage with verl, and vLLM's rollouts where there is a GPU."""
    steps, took = gpu_trainings.grpo(on_gpu=sizes.device == "cuda")
    engine = "vLLM" if sizes.device == "cuda" else "Hugging Face"
    yield Row(f"stage grpo, {engine} rollouts, small model", f"{steps} steps in {took:.0f} s, start included")


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


def main() -> int:
    """Print the table; exit code 1 if a part did not run to its end."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"part {min(unknown)}: expected one of {', '.join(PARTS)}")
    if asked.small and os.environ.get("TRITON_INTERPRET") != "1":
        parser.error("--small: set TRITON_INTERPRET=1 beside it, which Triton has to find when it is imported")
    if not asked.small and not torch.cuda.is_available():
        parser.error("no GPU is here; --small goes the same ways on the CPU")
    sizes = LARGE if not asked.small else SMALL
    torch.manual_seed(0)

    on = torch.cuda.get_device_name() if sizes.device == "cuda" else "CPU, toy sizes"
    print(f"{on}, torch {torch.__version__}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    missing = {}
    for name in asked.parts or PARTS:
        began = time.monotonic()
        try:
            for row in PARTS[name](sizes):
                print(line(row), flush=True)
        except Exception as error:  # noqa: BLE001 - the other parts are measured all the same
            traceback.print_exc()
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            print(line(Row(name, f"did not run: {missing[name]}")), flush=True)
        torch.cuda.empty_cache()  # for the trainers' processes
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    if missing:
        print("\ndid not run:", *(f"{name} ({reason})" for name, reason in missing.items()))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

"""Harvest against `output_hidden_states=True`, and against a model that has no upper half: tokens per CPU second.

All in one run, and whether the bits are the same. The second comparison is with the whole harvest: separators dropped,
norms taken, rows stored in bfloat16.

Run by `make bench`, or: `python -m tests.bench.bench_harvest`. The two ways take turns, so that a busy machine slows
both; medians are compared.
"""

import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from tests.bench.timing import medians
from torch import Tensor
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.lm.middle import drop_upper_half, middle_layer, residual_stream
from rlgen_k8s.stages.harvest.shard import harvest_shard

WANTED = 1.8
WANTED_OF_BARE = 0.9
SHAPES = {
    "5 M parameters": Qwen3Config(
        vocab_size=4096,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=32,
        tie_word_embeddings=True,
    ),
    "tiny study": Qwen3Config(
        vocab_size=768,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        tie_word_embeddings=True,
    ),
}


def compare(model: PreTrainedModel, tokens: Tensor, rounds: int) -> tuple[float, float, bool]:
    """Median CPU seconds of a harvest and of `output_hidden_states=True`, and whether the streams are identical."""

    def whole() -> Tensor:
        states = model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
        return states[middle_layer(model)]

    def harvest() -> Tensor:
        return residual_stream(model, tokens)

    with torch.inference_mode():
        same = torch.equal(whole(), harvest())
        ours, theirs = medians(rounds, harvest, whole)
    return ours, theirs, same


def of_bare(model: PreTrainedModel, rounds: int, batch: int = 64, length: int = 128) -> tuple[float, float]:
    """Median seconds of storing four batches of sequences, and of the lower half's forwards alone."""
    sequences = np.random.default_rng(0).integers(1, model.config.vocab_size, (4 * batch, length), dtype=np.int32)
    sequences[:, 0] = 0
    half = deepcopy(model)
    drop_upper_half(half)

    def store() -> None:
        with tempfile.TemporaryDirectory() as folder:
            harvest_shard(
                model, sequences, 0, Path(folder), "train", dtype="bfloat16", batch=batch, on_sequences=lambda _n: None
            )

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, 4 * batch, batch):
            ids = torch.from_numpy(sequences[start : start + batch].astype(np.int64)).to(half.device)
            half.get_decoder()(input_ids=ids, use_cache=False)

    whole, forwards = medians(rounds, store, bare)
    return whole, forwards


def main() -> int:
    """Print the tables; exit code 1 if a ratio is below what is wanted or the bits differ."""
    torch.set_num_threads(1)  # as a stage of the tiny study has
    torch.manual_seed(0)
    good = enough = True
    print(f"{'harvest':<16}{'dtype':<10}{'parameters':>11}{'tokens/s':>10}{'hidden_states':>15}{'ratio':>7}  bits")
    for name, config in SHAPES.items():
        for dtype in (torch.float32, torch.bfloat16):
            model = Qwen3ForCausalLM(config).to(dtype).eval()
            tokens = torch.randint(config.vocab_size, (16, 128))
            ours, theirs, same = compare(model, tokens, rounds=25)
            ratio = theirs / ours
            good &= same and ratio >= WANTED
            print(
                f"{name:<16}{str(dtype).removeprefix('torch.'):<10}{model.num_parameters():>11,}"
                f"{tokens.numel() / ours:>10,.0f}{tokens.numel() / theirs:>15,.0f}{ratio:>7.2f}  "
                f"{'identical' if same else 'DIFFERENT'}"
            )
    print(f"wanted: a ratio of at least {WANTED}, identical bits: {'yes' if good else 'NO'}")
    print(f"{'stored harvest':<16}{'dtype':<10}{'tokens/s':>10}{'half forward':>15}{'ratio':>7}")
    for name, config in SHAPES.items():
        whole, bare = of_bare(Qwen3ForCausalLM(config).eval(), rounds=15)
        enough &= bare / whole >= WANTED_OF_BARE
        print(f"{name:<16}{'float32':<10}{256 * 128 / whole:>10,.0f}{256 * 128 / bare:>15,.0f}{bare / whole:>7.2f}")
    print(f"wanted: a ratio of at least {WANTED_OF_BARE}: {'yes' if enough else 'NO'}")
    return 0 if good and enough else 1


if __name__ == "__main__":
    sys.exit(main())

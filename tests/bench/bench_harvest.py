"""Harvest against `output_hidden_states=True`: tokens per CPU second, in one run, and whether the bits are the same.

Run by `make bench`, or: `python tests/bench/bench_harvest.py`. The two ways take turns, so that a busy machine slows
both; medians are compared.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.lm.middle import middle_layer, residual_stream

WANTED = 1.8
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


def seconds(work: Callable[[], Tensor]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(model: PreTrainedModel, tokens: Tensor, rounds: int) -> tuple[float, float, bool]:
    """Median CPU seconds of a harvest and of `output_hidden_states=True`, and whether the streams are identical."""

    def whole() -> Tensor:
        states = model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
        return states[middle_layer(model)]

    def harvest() -> Tensor:
        return residual_stream(model, tokens)

    with torch.inference_mode():
        same = torch.equal(whole(), harvest())
        pairs = [(seconds(harvest), seconds(whole)) for _ in range(rounds)]
    ours, theirs = zip(*pairs, strict=True)
    return statistics.median(ours), statistics.median(theirs), same


def main() -> int:
    """Print the table; exit code 1 if a ratio is below what is wanted or the bits differ."""
    torch.set_num_threads(1)  # as a stage of the tiny study has
    torch.manual_seed(0)
    good = True
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
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""The whole stream, eleven models and eleven crosscoders, against a pass for each crosscoder and plain steps.

Run by `make bench`, or: `python -m tests.bench.bench_stream`. Shapes are the tiny study's: base, five SFT and five RL
checkpoints; ten crosscoders of two models and one of three. CPU seconds from models in memory to trained weights, in
one run; the two take turns, so that a busy machine slows both, and medians are compared. The other way is what a public
implementation does: for each crosscoder its own models' `output_hidden_states=True`, then einsum, autograd and Adam.

How fast our step is depends on how many features are active. In the tiny study half of the 512 are at the start, 40
after 300 of its 766 steps, 30 half-way, 20 at the end; so the start and half-way are measured, the latter with encoder
biases that make it so and a learning rate that leaves it so.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from tests.bench.bench_harvest import SHAPES
from tests.bench.plain_crosscoder import PlainTrainer
from tests.bench.timing import medians, seconds
from torch import Tensor
from transformers import PreTrainedModel, Qwen3ForCausalLM

from rlgen_k8s.crosscoder import TrainingPlan
from rlgen_k8s.crosscoder.stream import JointTraining, LiveActivations, Member, PackedTokens, Recipe, Stream
from rlgen_k8s.lm.middle import middle_layer, residual_stream

WANTED, WANTED_BATCHES = 2.5, 0.9
FORWARD, BLOCK, LENGTH, BATCH, FEATURES, WIDTH = 16, 8, 128, 1024, 512, 64
HALF_WAY = 30 / FEATURES
UNITS, ROUNDS, SHORT, SHORT_ROUNDS = 16, 3, 2, 15
CONFIG = SHAPES["tiny study"]
CROSSCODERS = {
    **{f"{name}-{k}": ("base", f"{name}-{k}") for name in ("sft", "rl") for k in range(1, 6)},
    "joint": ("base", "sft-5", "rl-5"),
}
PLAN = TrainingPlan(
    n_features=FEATURES,
    sparsity_weight=0.5,
    batch=BATCH,
    learning_rate=1e-5,
    epochs=1,
    sparsity_warmup=0.05,
    learning_rate_decay=0.2,
    max_gradient_norm=1.0,
    decoder_norm=0.08,
    seed=0,
)


def tokens(
    units: int, forward: int = FORWARD, length: int = LENGTH, vocabulary: int = CONFIG.vocab_size
) -> PackedTokens:
    """Random ids; a separator in front of each sequence."""
    ids = np.random.default_rng(0).integers(1, vocabulary, (units * forward, length), dtype=np.int32)
    ids[:, 0] = 0
    return PackedTokens(ids, 0, forward)


def stream(models: dict[str, PreTrainedModel], text: PackedTokens, batch: int = BATCH, device: str = "cpu") -> Stream:
    """As the tiny study would have it: half of this bench's text in the buffer."""
    recipe = Recipe(batch=batch, epochs=1, seed=0, block=BLOCK, scale_units=1, corpus="")
    return Stream(LiveActivations(models, text, "bfloat16", device), recipe, device=device)


def new_training(
    models: dict[str, PreTrainedModel],
    text: PackedTokens,
    crosscoders: dict[str, tuple[str, ...]] = CROSSCODERS,
    plan: TrainingPlan = PLAN,
    device: str = "cpu",
) -> JointTraining:
    """All crosscoders at their start."""
    members = {name: Member(which, plan) for name, which in crosscoders.items()}
    return JointTraining(stream(models, text, plan.batch, device), members, device)


def together(models: dict[str, PreTrainedModel], text: PackedTokens, biases: dict[str, Tensor] | None = None) -> None:
    """Ours, with other encoder biases than 0 if given."""
    training = new_training(models, text)
    for name, bias in (biases or {}).items():
        training.trainers[name].crosscoder.encoder_bias.copy_(bias)
    for _ in training.run():
        pass


def half_way(models: dict[str, PreTrainedModel], text: PackedTokens) -> dict[str, Tensor]:
    """Encoder biases [D] at which every feature is above zero for HALF_WAY of the first unit's tokens."""
    training, biases = new_training(models, text), {}
    source, scales = training.stream.source, training.stream.scales
    x = {name: source.activations(m, 0).float() * scales[m] for m, name in enumerate(source.models)}
    for name, which in CROSSCODERS.items():
        preactivations = training.trainers[name].crosscoder.preactivations(torch.cat([x[m] for m in which], dim=1))
        biases[name] = -preactivations.quantile(1 - HALF_WAY, dim=0)
    return biases


def plain_batches(models: list[PreTrainedModel], text: PackedTokens) -> Iterator[Tensor]:
    """[batch, M, d] of a buffer as large as ours, shuffled."""
    for first in range(0, text.n_units, BLOCK):
        kept = []
        for unit in range(first, min(first + BLOCK, text.n_units)):
            ids = torch.from_numpy(text.unit(unit))
            with torch.inference_mode():
                states = [
                    model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states[middle_layer(model)]
                    for model in models
                ]
            kept.append(torch.stack(states, dim=2)[ids != text.separator].clone())
        buffer = torch.cat(kept)
        buffer *= WIDTH**0.5 / buffer.norm(dim=2).mean()
        yield from buffer[torch.randperm(len(buffer))].split(BATCH)


def separately(models: dict[str, PreTrainedModel], text: PackedTokens) -> None:
    """A pass and a plain training for each crosscoder."""
    for which in CROSSCODERS.values():
        trainer = PlainTrainer(len(which), WIDTH, FEATURES, BATCH)
        for batch in plain_batches([models[name] for name in which], text):
            trainer.x = batch
            trainer.advance()


def bare(models: dict[str, PreTrainedModel], text: PackedTokens) -> None:
    """Each model's forward to the middle layer, and nothing else."""
    with torch.inference_mode():
        for model in models.values():
            for unit in range(text.n_units):
                residual_stream(model, torch.from_numpy(text.unit(unit)))


def only_batches(models: dict[str, PreTrainedModel], text: PackedTokens) -> Callable[[], None]:
    """The stream without trainers; its scales were estimated before."""
    source = stream(models, text)

    def work() -> None:
        for _ in source.batches():
            pass

    return work


def main() -> int:
    """Print the tables; exit code 1 if a ratio is below what is wanted."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    names = ["base", *(f"{name}-{k}" for name in ("sft", "rl") for k in range(1, 6))]
    models = {name: Qwen3ForCausalLM(CONFIG).eval() for name in names}
    text, short = tokens(UNITS), tokens(SHORT)
    print(f"{len(models)} models, {len(CROSSCODERS)} crosscoders; CPU seconds")

    biases = half_way(models, text)
    start, ours, theirs = medians(
        ROUNDS,
        lambda: together(models, text),
        lambda: together(models, text, biases),
        lambda: separately(models, text),
    )
    print(f"{f'a pass for each and plain steps, {text.kept.sum()} tokens':<52}{theirs:>8.2f}")
    print(f"{'one stream, at the start of training':<52}{start:>8.2f}{theirs / start:>8.2f} times as fast")
    print(f"{'one stream, half-way':<52}{ours:>8.2f}{theirs / ours:>8.2f} times as fast")

    alone, forwards = medians(SHORT_ROUNDS, only_batches(models, short), lambda: bare(models, short))
    print(f"{f'the batches alone, {short.kept.sum()} tokens':<52}{alone:>8.2f}")
    print(f"{'bare half forwards':<52}{forwards:>8.2f}{forwards / alone:>8.2f} of the batches' time")

    for units in (2, 4, 8):
        longer = tokens(units)
        took = seconds(lambda longer=longer: together(models, longer, biases))
        share = longer.kept.sum() / text.kept.sum()
        print(f"{f'one stream, half-way, {share:.3f} of the tokens':<52}{took:>8.2f}{took / ours:>8.3f} of the time")
    good = theirs / ours >= WANTED and forwards / alone >= WANTED_BATCHES
    print(f"wanted: half-way {WANTED} times, and {WANTED_BATCHES} of the batches' time: {'yes' if good else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

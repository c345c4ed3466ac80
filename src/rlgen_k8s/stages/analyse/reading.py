"""Running the study's models: which input holds which, on what device, and how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.lm.load import load_model, load_tokenizer
from rlgen_k8s.lm.middle import middle_layer
from rlgen_k8s.stages.analyse.activations import PromptFeatures, prompt_features
from rlgen_k8s.stages.analyse.generalization import Samples
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.contract import CHECKPOINTS, Context

FAMILIES = ("sft", "rl")
FINAL = {"base": "model-base"} | {name: f"model-{name}-{CHECKPOINTS}" for name in FAMILIES}
"""The input with each model of the joint crosscoder."""


@dataclass(frozen=True)
class Read:
    """Features of base and RL, by model."""

    layer: int
    wanted: dict[str, PromptFeatures]
    reference: dict[str, PromptFeatures]


def count(context: Context[AnalyseSettings], goal: int) -> Callable[[int], None]:
    """What adds to the prompts and sequences read so far."""
    read = 0

    def done(n: int) -> None:
        nonlocal read
        read += n
        context.progress(read, goal)

    return done


def on_device(folder: Path) -> PreTrainedModel:
    """The model in `folder`, on the GPU where there is one."""
    model = load_model(folder)
    torch.nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    return model


def read_models(
    context: Context[AnalyseSettings], samples: Samples, joint: Crosscoder, done: Callable[[int], None]
) -> Read:
    """Run base and RL, one after the other, on the samples' prompts."""
    layer = 0
    found: dict[str, list[PromptFeatures]] = {}
    for name in ("base", "rl"):
        folder = context.inputs[FINAL[name]]
        model, tokenizer = on_device(folder), load_tokenizer(folder)
        layer = middle_layer(model)
        found[name] = [
            prompt_features(
                model,
                tokenizer,
                joint,
                name,
                [samples.tasks[task].prompts[doc] for task, doc in chosen],
                context.settings.batch,
                done,
            )
            for chosen in (samples.wanted, samples.reference)
        ]
    wanted, reference = ({name: pair[i] for name, pair in found.items()} for i in (0, 1))
    return Read(layer, wanted, reference)

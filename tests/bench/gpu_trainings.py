"""The trainers' stages on small random models, as `make gpu-check` runs them."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.local.micro import write_sums, write_words

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.grpo.run import run as run_grpo
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.stages.sft.run import run as run_sft
from rlgen_k8s.stages.sft.settings import SftSettings

STEPS = 6
"""The first of them is left out: it compiles, and fills caches."""

S = TypeVar("S", bound=StageSettings)


class Step(NamedTuple):
    """Seconds of a step of GRPO, without saving."""

    whole: float
    rollouts: float
    update: float


def sft(*, on_gpu: bool) -> list[float]:
    """Seconds of each step of the stage with DeepSpeed's ZeRO-3 on one process, without saving."""
    settings = SftSettings(
        batch=16,
        per_device_batch=16,
        processes=1,
        deepspeed_stage=3,
        cutoff_len=96,
        template="qwen3_nothink",
        precision="bfloat16" if on_gpu else "float32",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = ModelSettings(layers=8, width=1024) if on_gpu else ModelSettings(layers=2, width=32)
        base, traces = folder / "base", folder / "traces"
        traces.mkdir()
        write_sums(base, traces, STEPS * settings.batch, shape)
        context, said = _listening(local_context(settings, {"base": base, "traces": traces}, folder / "out"))
        run_sft(context)
        return [values["seconds"] for values in said[1:]]


def grpo(*, on_gpu: bool) -> list[Step]:
    """Each step of the stage. On a GPU vLLM answers the prompts."""
    settings = GrpoSettings(
        engine="vllm" if on_gpu else "hf",
        precision="bf16" if on_gpu else "fp32",
        n_gpus=1,
        prompts_per_step=4,
        mini_batch_prompts=2,
        rollouts=4,
        prompt_tokens=16,
        response_tokens=256 if on_gpu else 3,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        width, heads = (256, 4) if on_gpu else (16, 2)
        write_words(folder, STEPS * settings.prompts_per_step, width=width, heads=heads, length=512)
        inputs = {"base": folder / "base", "problems": folder}
        context, said = _listening(local_context(settings, inputs, folder / "out"))
        run_grpo(context)
        return [
            Step(
                values["timing_s/step"] - values.get("timing_s/save_checkpoint", 0.0),
                values["timing_s/gen"],
                values["timing_s/update_actor"],
            )
            for values in said[1:]
        ]


def _listening(context: Context[S]) -> tuple[Context[S], list[Mapping[str, float]]]:
    """The context, and a list that what the stage says of each step is added to."""
    said: list[Mapping[str, float]] = []
    return replace(context, metrics=lambda values, step: said.append(dict(values))), said

"""The trainers' stages on small random models, as `make gpu-check` runs them."""

import importlib.util
import tempfile
import time
from pathlib import Path

from tests.local.micro import write_sums, write_words

from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.grpo.run import run as run_grpo
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.sft.run import run as run_sft
from rlgen_k8s.stages.sft.settings import SftSettings

STEPS = 6


def sft(*, on_gpu: bool) -> tuple[int, float]:
    """Steps that the stage took with DeepSpeed's ZeRO-3 on one process, and its seconds."""
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
        began = time.monotonic()
        run_sft(local_context(settings, {"base": base, "traces": traces}, folder / "out"))
        return _steps(folder), time.monotonic() - began


def grpo(*, on_gpu: bool) -> tuple[int, float]:
    """Steps that the stage took, and its seconds. On a GPU vLLM answers the prompts."""
    if on_gpu and importlib.util.find_spec("vllm") is None:
        raise RuntimeError(
            "vLLM is not in this environment; run the part where it is (uv sync --no-default-groups --group=vllm)"
        )
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
        began = time.monotonic()
        run_grpo(local_context(settings, {"base": folder / "base", "problems": folder}, folder / "out"))
        return _steps(folder), time.monotonic() - began


def _steps(folder: Path) -> int:
    """Steps of a finished stage."""
    return len((folder / "out" / "training.jsonl").read_text().splitlines())

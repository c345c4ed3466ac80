"""How long a device's work takes, in seconds: FLOPs and bytes over what it reaches, and Python's time for each pass."""

import math

from rlgen_k8s.cost.architectures import Architecture
from rlgen_k8s.cost.hardware import Device
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.study.cost import CostSettings


def forwards(
    model: Architecture,
    tokens: float,
    context: float,
    element: int,
    device: Device,
    per_pass: float,
    layers: int | None = None,
) -> float:
    """Forwards of `tokens` tokens, `per_pass` at a time and each with `context` tokens before it on average, through
    `layers` or all of the model."""
    work = tokens * model.forward_flops(context, layers) / device.passes(element)
    return work + python(model, math.ceil(tokens / per_pass), device, layers)


def python(model: Architecture, passes: float, device: Device, layers: int | None = None) -> float:
    """Python's part of so many passes."""
    return passes * (model.layers if layers is None else layers) * device.layer


def crosscoder_steps(
    model: Architecture, settings: CrosscoderSettings, models: int, tokens: float, device: Device
) -> float:
    """Training on `tokens` tokens of `models` models."""
    element = 2 if settings.precision == "bf16" else 4
    return tokens * crosscoder_flops(model.width, settings, models) / device.crosscoder(element)


def crosscoder_flops(width: int, settings: CrosscoderSettings, models: int) -> float:
    """FLOP of one token's training: five products of models · width · features, two forwards and three backwards
    (docs/study.md, symbols)."""
    return 10.0 * models * width * settings.n_features


def hf_generation(
    model: Architecture, element: int, responses: float, batch: int, longest: int, cost: CostSettings, device: Device
) -> float:
    """Hugging Face's generate: a batch goes on until its longest response ends, taken to be at the limit.

    A step reads all weights and, half-way, half of the longest cache; or it is bound by Python.
    """
    read = element * model.parameters + batch * model.cache_bytes(element) * (cost.prompt_tokens + longest / 2)
    step = max(device.token, python(model, 1, device) + read / device.bandwidth)
    return responses / batch * longest * step


def vllm_generation(
    model: Architecture,
    responses: float,
    longest: int,
    cost: CostSettings,
    device: Device,
    at_once: float = math.inf,
) -> float:
    """`responses` on one GPU by vLLM in bf16, so many `at_once`: each step reads all weights, and caches as they grow.

    A response makes room for the next one; the last of them is taken to run to the limit.
    """
    length = min(cost.response_tokens, longest)
    steps = longest + max(0.0, responses / at_once - 1) * length
    cached = responses * length * (cost.prompt_tokens + length / 2) * model.cache_bytes()
    reads = (steps * 2 * model.parameters + cached) / device.bandwidth
    return reads + forwards(model, responses * length, length / 2, 2, device, math.inf)

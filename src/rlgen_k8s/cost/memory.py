"""Memory of one GPU by what fills it, in bytes. A byte count an element: 2 in bf16, 4 in fp32."""

from collections.abc import Sequence

from rlgen_k8s.cost import rates
from rlgen_k8s.cost.architectures import Architecture
from rlgen_k8s.cost.placement import Load
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.sft.settings import SftSettings

PROMPT_TOKENS = 512
"""Of the longest prompts of multiple-choice tasks."""
Parts = dict[str, float]
"""What fills the memory: bytes by name."""

ROLLOUT_SHARE = 0.5
"""Of a GPU's memory that vLLM takes for its weights and its cache: verl's `gpu_memory_utilization`."""
VLLM_SHARE = 0.9
"""The same where vLLM has the GPU for itself: vLLM's `gpu_memory_utilization`."""
LOGITS_BYTES = 10
"""Bytes of one logit in training: bf16, its fp32 copy, and that one's gradient."""


def generation(model: Architecture, element: int, sequences: int, tokens: int) -> Parts:
    """Hugging Face's generate: `sequences` of `tokens` each, prompt included."""
    return {
        "weights": element * model.parameters,
        "KV cache": sequences * tokens * model.cache_bytes(element),
        "logits": 4 * sequences * model.vocabulary,
    }


def vllm(model: Architecture, tokens: int) -> Parts:
    """vLLM in bf16, with a cache for at least one response of `tokens`, prompt included."""
    return {"weights": 2 * model.parameters, "vLLM's cache": tokens * model.cache_bytes()}


def in_vllm_at_once(model: Architecture, tokens: float, gpu_memory: float) -> float:
    """How many sequences of `tokens` each the cache holds that vLLM makes of what the weights leave it."""
    return (VLLM_SHARE * gpu_memory - 2 * model.parameters) / (tokens * model.cache_bytes())


def forwards(model: Architecture, element: int, tokens: int, output: bool) -> Parts:
    """A forward of `tokens` tokens in all, with logits if `output`: the widest layer's inputs and outputs at once."""
    return {
        "weights": element * model.parameters,
        "activations": element * tokens * (4 * model.width + 3 * model.mlp),
        "logits": (element + 4) * tokens * model.vocabulary if output else 0,
    }


def sft(model: Architecture, settings: SftSettings) -> Parts:
    """DeepSpeed's sharded training with Adam: 2 + 2 + 12 bytes a weight in bf16 (Rajbhandari et al. 2020, 3.1)."""
    element = 2 if settings.precision == "bfloat16" else 4
    n, stage = settings.processes, settings.deepspeed_stage or 0
    weights = element * model.parameters
    master = 4 if element == 2 else 0
    tokens = settings.per_device_batch * settings.cutoff_len
    return {
        "weights": weights / (n if stage == 3 else 1),
        "gradients": weights / (n if stage else 1),
        "optimizer": (8 + master) * model.parameters / (n if stage else 1),
        "activations": _activations(model, tokens, element, settings.gradient_checkpointing),
        "logits": LOGITS_BYTES * tokens * model.vocabulary,
    }


def grpo(model: Architecture, settings: GrpoSettings, gpu_memory: float) -> Parts:
    """The larger of verl's two phases: training (fp32 weights, gradients and Adam, sharded), or vLLM beside them."""
    workers = settings.n_gpus
    element = 2 if settings.precision == "bf16" else 4
    held = {"weights": 4 * model.parameters / workers, "optimizer": 8 * model.parameters / workers}
    training = held | {
        "gradients": 4 * model.parameters / workers,
        "activations": _activations(model, settings.tokens_per_pass, element, True),
        "logits": LOGITS_BYTES * settings.tokens_per_pass * model.vocabulary,
    }
    if settings.engine == "hf":
        sequences = settings.prompts_per_step * settings.rollouts // workers
        rollout = held | generation(model, element, sequences, settings.prompt_tokens + settings.response_tokens)
        return max(training, rollout, key=lambda parts: sum(parts.values()))
    in_vllm = element * model.parameters / settings.tensor_parallel
    longest = (settings.prompt_tokens + settings.response_tokens) * model.cache_bytes(element)
    cache = max(ROLLOUT_SHARE * gpu_memory - in_vllm, longest / settings.tensor_parallel)
    rollout = held | {"vLLM's weights": in_vllm, "KV cache": cache}
    return max(training, rollout, key=lambda parts: sum(parts.values()))


def crosscoder_weights(width: int, settings: CrosscoderSettings, models: int) -> float:
    """Encoder and decoder of `models` models, in fp32."""
    return 4 * 2 * models * width * settings.n_features


def crosscoder(model: Architecture, settings: CrosscoderSettings, models: int, element: int, length: int) -> Parts:
    """One crosscoder's training, its buffer in bf16; beside them, a forward on `length` tokens."""
    splice = forwards(model, element, settings.splice_batch * length, output=True)
    return crosscoder_training(model.width, settings, models) | {
        "buffer": models * stream_buffer(model.width, settings, settings.buffer_sequences * length),
        "model spliced into": sum(splice.values()),
    }


def analyse(
    model: Architecture, joint: CrosscoderSettings, settings: AnalyseSettings, element: int, length: int
) -> Parts:
    """Its portraits: base, SFT and RL at once, on `drift_batch` sequences of `length` tokens, beside the joint
    crosscoder. What it does before holds at most two models, and on prompts the features of all their tokens."""
    passed = forwards(model, element, settings.drift_batch * length, output=True)
    features = 4 * settings.batch * PROMPT_TOKENS * joint.n_features
    return {
        "models": 3 * element * model.parameters,
        "crosscoder": crosscoder_weights(model.width, joint, 3),
        "activations": max(passed["activations"], features),
        "logits": passed["logits"],
    }


def crosscoder_training(width: int, settings: CrosscoderSettings, models: int) -> Parts:
    """Weights, gradients and Adam's two means in fp32, bf16 copies for the products, and a step's intermediates."""
    weights = crosscoder_weights(width, settings, models)
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer": 2 * weights,
        "bf16 copies": weights / 2 if settings.precision == "bf16" else 0,
        "batch": 4 * settings.batch * (4 * settings.n_features + 3 * models * width),
    }


def crosscoder_load(width: int, settings: CrosscoderSettings, reads: Sequence[str]) -> Load:
    """Training a crosscoder of the models `reads`; its cost is FLOP a token."""
    training = crosscoder_training(width, settings, len(reads))
    return Load(sum(training.values()), rates.crosscoder_flops(width, settings, len(reads)), frozenset(reads))


def stream_buffer(width: int, settings: CrosscoderSettings, tokens: int, element: int = 2) -> float:
    """Activations of one model on `tokens` tokens, and its part of an fp32 batch."""
    return width * (element * tokens + 4 * settings.batch)


def stream(
    model: Architecture,
    settings: CrosscoderSettings,
    trained: Sequence[tuple[CrosscoderSettings, Sequence[str]]],
    element: int,
    length: int,
    batch: int,
) -> Parts:
    """One GPU of a stream: `trained`, crosscoders with the models that they read, the buffer of all these models, and
    the lower half of the one that runs, on `batch` sequences of `length` tokens (`element`: bytes of its weights)."""
    each = [crosscoder_training(model.width, one, len(reads)) for one, reads in trained]
    buffer = stream_buffer(model.width, settings, settings.buffer_sequences * length)
    half = model.layers // 2 * model.layer_parameters + model.vocabulary * model.width
    parts = {
        "buffer": buffer * len({name for _, reads in trained for name in reads}),
        "model that runs": element * half,
        "activations": forwards(model, element, batch * length, output=False)["activations"],
    }
    for name in each[0] if each else ():
        parts[name] = sum(one[name] for one in each)
    return parts


def _activations(model: Architecture, tokens: int, element: int, checkpointing: bool) -> float:
    """What backward needs: each layer's input and one layer whole, or all layers whole (Korthikanti et al. 2022, 4).

    A whole layer keeps nine vectors of its width a token (norms, projections, attention, which is itself recomputed)
    and four of its MLP's.
    """
    layer = tokens * element * (9 * model.width + 4 * model.mlp)
    inputs = tokens * element * model.width * model.layers
    return inputs + layer if checkpointing else model.layers * layer

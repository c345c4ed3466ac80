"""What a study asks for and cannot get: refused before anything is paid, with the setting to change."""

import math
from collections.abc import Iterable, Mapping

from rlgen_k8s.cost.estimates import Estimate, on_cores
from rlgen_k8s.cost.hardware import GPUS
from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.errors import UserError
from rlgen_k8s.study.settings import Study

GIB = 2**30
LESS = {
    ("traces", "KV cache"): "lower traces.batch_size",
    ("traces", "vLLM's cache"): "lower traces.max_new_tokens",
    ("sft", "logits"): "lower sft.cutoff_len or sft.per_device_batch",
    ("sft", "activations"): "lower sft.cutoff_len or sft.per_device_batch, or set sft.gradient_checkpointing",
    ("sft", "weights"): "set sft.deepspeed_stage to 3, or raise sft.processes",
    ("sft", "gradients"): "set sft.deepspeed_stage to 3, or raise sft.processes",
    ("sft", "optimizer"): "set sft.deepspeed_stage to 3, or raise sft.processes",
    ("grpo", "logits"): "lower grpo.tokens_per_pass (with grpo.response_tokens)",
    ("grpo", "activations"): "lower grpo.tokens_per_pass (with grpo.response_tokens)",
    ("grpo", "optimizer"): "raise grpo.n_gpus",
    ("grpo", "vLLM's weights"): "raise grpo.tensor_parallel",
    ("grpo", "KV cache"): "raise grpo.tensor_parallel, or lower grpo.response_tokens",
    ("evaluate", "KV cache"): "lower evaluate.sequences_per_generation",
    ("evaluate", "logits"): "lower evaluate.tokens_per_batch",
    ("harvest", "activations"): "lower harvest.batch",
    ("crosscoder", "model spliced into"): "lower crosscoder.splice_batch",
    ("crosscoder", "batch"): "lower crosscoder.batch",
    ("crosscoder", "optimizer"): "lower crosscoder.n_features",
    ("stream", "buffer"): "lower crosscoder.buffer_sequences",
    ("stream", "optimizer"): "raise pods.stream.gpus or pods.stream.nodes, or lower crosscoder.n_features",
    ("stream", "activations"): "lower harvest.batch",
    ("intervene", "logits"): "lower intervene.tokens_per_batch",
    ("analyse", "logits"): "lower analyse.drift_batch",
    ("analyse", "activations"): "lower analyse.batch",
    ("analyse", "crosscoder"): "lower crosscoder.n_features",
}
"""What to do about the largest part of a stage's memory; else there is only a larger GPU."""


def refuse_what_cannot_fit(study: Study, nodes: Iterable[Node], estimates: Mapping[str, Estimate]) -> None:
    """Raise `UserError` for the first of `nodes` that needs more GPUs, GPU memory or disk than it gets, or leaves GPUs
    idle (but where models are made here: a rehearsal asks for its study's GPUs, and needs none)."""
    for node in nodes:
        if node.name in estimates:
            if not on_cores(study):
                _check_gpus(study, node)
            _check_memory(study, node, estimates[node.name])
            _check_disk(node, estimates[node.name])


def _check_gpus(study: Study, node: Node) -> None:
    wanted = {"sft": ("sft.processes", study.sft.processes), "grpo": ("grpo.n_gpus", study.grpo.n_gpus)}
    name, number = wanted.get(node.stage, ("", 0))
    nodes, gpus = node.shape.nodes, node.shape.gpus
    if name and number < nodes * gpus:
        raise UserError(
            f"{node.name}: {name}={number} of {nodes * gpus} GPUs asked for, and the others would stand idle; "
            f"set {name}={nodes * gpus}, or fewer pods.{node.stage}.gpus"
        )
    if number > nodes * gpus:
        has = f"the pod has {gpus} GPUs" if nodes == 1 else f"its {nodes} pods have {gpus} GPUs each"
        raise UserError(f"{node.name}: {name}={number} and {has}; set pods.{node.stage}.gpus={-(-number // nodes)}")


def _check_memory(study: Study, node: Node, estimate: Estimate) -> None:
    needed = sum(estimate.memory.values())
    given = GPUS[study.cost.gpu].memory * study.cost.memory_share
    if needed > given:
        largest = max(estimate.memory, key=lambda part: estimate.memory[part])
        advice = LESS.get((node.stage, largest), "set cost.gpu to a larger one")
        raise UserError(
            f"{node.name}: needs {needed / 1e9:.0f} GB on a GPU, {estimate.memory[largest] / 1e9:.0f} of it {largest}; "
            f"cost.gpu={study.cost.gpu} gives {given / 1e9:.0f} GB; {advice}"
        )


def _check_disk(node: Node, estimate: Estimate) -> None:
    needed = estimate.scratch / GIB
    if needed > node.shape.disk:
        asked = f"{math.ceil(needed)}" if needed > 1 else f"{needed:.2g}"
        raise UserError(
            f"{node.name}: needs {asked} GiB on the node's disk and pods.{node.stage}.disk={node.shape.disk:g}; "
            f"set pods.{node.stage}.disk to at least {asked}"
        )

"""What verl must know before its workers start: the rollout engine `hf`, a process group on one device type, and how
models are loaded."""

import functools
from typing import Any


def register_rollout() -> None:
    """Register the engine `hf`: a server (loaded when the first replica starts) and the trainer's side of it."""
    import verl.workers.rollout.base as base
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    def load() -> Any:
        from rlgen_k8s.verl_cpu.replica import HFReplica

        return HFReplica

    RolloutReplicaRegistry.register("hf", load)
    base._ROLLOUT_REGISTRY["hf", "async"] = "rlgen_k8s.verl_cpu.replica.HFServerAdapter"


def name_process_group_once() -> None:
    """Have verl ask torch for the backend `cpu:gloo`.

    It asks for "cpu:gloo,<device>:<backend>", and torch refuses a device type that is named twice.
    """
    import verl.utils.distributed as distributed

    original = distributed.initialize_global_process_group_ray

    @functools.wraps(original)
    def initialize(timeout_second: int | None = None, backend: str | None = None) -> None:
        original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    distributed.initialize_global_process_group_ray = initialize


def load_weights_in_each_process() -> None:
    """Have verl load a model's weights in all training processes, not in the first one alone.

    In the others it makes empty ones, which accelerate 1.11, the newest that LLaMA-Factory runs with, cannot do with
    transformers 5 (huggingface/transformers#44291).
    """
    import torch
    import verl.utils.fsdp_utils as fsdp

    fsdp.get_init_weight_context_manager = lambda use_meta_tensor=True, mesh=None: lambda: torch.device("cpu")

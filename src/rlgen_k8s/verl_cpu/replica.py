"""verl's side of the rollout engine `hf`: how the trainer starts the server and gives it new weights."""

import os
from collections.abc import Iterable
from typing import Any

import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica

from rlgen_k8s.verl_cpu.server import HFServer


def _server_name(replica_rank: int) -> str:
    return f"hf_server_{replica_rank}"


class HFServerAdapter(BaseRollout):
    """Lives in each training process; passes the trained weights on to this replica's server."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        # One server a training process, since `HFReplica` has a world size of 1.
        self.replica_rank = int(os.environ["RANK"]) if replica_rank == -1 else replica_rank

    async def resume(self, tags: list[str]) -> None:
        """Nothing to do: weights and caches are never released."""

    async def release(self) -> None:
        """Nothing to do: the server's weights are its own."""

    @torch.no_grad()
    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **_: Any,
    ) -> None:
        """Send all weights to the server and wait until it uses them."""
        if wire_format != "named_tensors":
            raise ValueError(f"wire_format {wire_format!r}: the engine hf takes named_tensors only")
        state = {name: tensor.detach().cpu().clone() for name, tensor in weights}
        await ray.get_actor(_server_name(self.replica_rank)).update_weights.remote(state, global_steps)


class HFReplica(RolloutReplica):
    """One server process beside one training process."""

    async def launch_servers(self) -> None:
        """Start the server as a Ray actor; verl's agent loops call its `generate`."""
        if self.world_size != 1:
            raise ValueError(f"tensor, data and pipeline parallel sizes give {self.world_size}: engine hf needs 1")
        actor: Any = ray.remote(HFServer)
        server = actor.options(
            name=_server_name(self.replica_rank), num_cpus=0, max_concurrency=self.max_concurrency
        ).remote(self.config, self.model_config, self.replica_rank)
        address = await server.ready.remote()
        self.servers = [server]
        self._server_handle = server
        self._server_address = f"{address}:hf{self.replica_rank}"  # an id; verl calls the actor, there is no HTTP

"""Saving after exactly the steps that the stage asks for, whole on the node where verl's driver runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlgen_k8s.processes.gather import CHUNK, sizes


class NextSave:
    """verl's checkpoint callback that moves `save_freq` on to the next wanted step.

    verl saves at every multiple of `trainer.save_freq`. The first multiple of a step's number is that step itself, so
    `save_freq` holds the number of the next step to save, and this changes it after each save.
    """

    def __init__(self, config: Any) -> None:
        self._steps: list[int] = list(config.trainer.save_steps)

    def on_save(self, *, trainer: Any, global_step: int, checkpoint_dir: str, **_: Any) -> None:
        """Called by verl in its driver process when all have written the checkpoint of `global_step`."""
        bring(Path(checkpoint_dir))
        later = [step for step in self._steps if step > global_step]
        if later:
            trainer.config.trainer.save_freq = min(later)


def bring(folder: Path) -> None:
    """Move here what other nodes of this Ray have in `folder` and this one has not: verl's workers write to the disk of
    the node that they run on (verl-project/verl#1535)."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def on(node: str, work: Callable[..., Any], *arguments: Any) -> Any:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        remote: Any = ray.remote(work)
        return ray.get(remote.options(num_cpus=0, scheduling_strategy=there).remote(*arguments))

    here = ray.get_runtime_context().get_node_id()
    for node in (node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here):
        for name, size in on(node, sizes, folder).items():
            path = folder / name
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for start in range(0, size, CHUNK):
                    file.write(on(node, _read, path, start))
            on(node, Path.unlink, path)


def _read(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(CHUNK)

"""The results of all shards as one: the one that a single pod would have written."""

from collections.abc import Callable, Mapping
from pathlib import Path

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.merge import evaluations, traces
from rlgen_k8s.stages.merge.settings import MergeSettings

Merge = Callable[[list[Path], Mapping[str, Path], Path], dict[str, float]]
"""Writes the whole of the shards' folders, by (folders, all inputs, out), and returns its metrics."""

_MERGES: dict[str, Merge] = {"traces": traces.merge, "evaluate": evaluations.merge}


def run(context: Context[MergeSettings]) -> None:
    """Write what the stage `of` writes, of the inputs `shard-1`, `shard-2`, …"""
    shards = [folder for name, folder in context.inputs.items() if name.startswith("shard-")]
    context.metrics(_MERGES[context.settings.of](shards, context.inputs, context.out), None)

"""The work of an evaluation in blocks: what a resume point holds, and what shards are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from rlgen_k8s.lm.harness.names import TaskName, is_maths
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings


@dataclass(frozen=True)
class Block:
    """Samples of one task that the model is asked together."""

    name: str
    task: TaskName
    docs: range
    """Their ids."""
    answers: int
    """Of the model, to all of them: one each, or as many as a maths problem is asked."""
    seed: int
    """Of its responses, the same in every division into shards."""


def blocks(sizes: Mapping[TaskName, int], settings: EvaluateSettings) -> list[Block]:
    """All work of the settings' shard, of tasks with `sizes` samples; multiple choice first, since it needs no vLLM.

    Shards take turns at the blocks of the whole evaluation, so together they ask what one would, with its seeds.
    """
    found: list[Block] = []
    for task, size in sizes.items():
        repeats = settings.repeats(task)
        step = max(1, settings.resume_responses // repeats) if is_maths(task) else size
        for start in range(0, min(size, settings.limit or size), step):
            docs = range(start, min(start + step, size, settings.limit or size))
            name, seed = f"{task}-{start}", settings.seed * 1_000_003 + len(found)
            found.append(Block(name, task, docs, len(docs) * repeats, seed))
    return found[settings.shard :: settings.shards]

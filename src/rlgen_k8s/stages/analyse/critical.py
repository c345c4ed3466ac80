"""Which samples count: right and wrong of base and RL, and the seeded split of the critical ones (paper 3.2)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.analyse.results import Cells, Split


@dataclass(frozen=True)
class TaskSamples:
    """A task's samples as both models answered them."""

    prompts: dict[int, str]
    """By `doc_id`."""
    both_right: list[int]
    only_base: list[int]
    only_rl: list[int]
    both_wrong: list[int]

    @property
    def cells(self) -> Cells:
        """The four counts."""
        return Cells(
            both_right=len(self.both_right),
            only_base=len(self.only_base),
            only_rl=len(self.only_rl),
            both_wrong=len(self.both_wrong),
        )


def read_samples(folder: Path) -> pd.DataFrame:
    """An evaluation's samples: task, doc_id, outcome, prompt."""
    return pd.read_parquet(folder / "samples.parquet", columns=["task", "doc_id", "outcome", "prompt"])


def pair_task(base: pd.DataFrame, rl: pd.DataFrame, task: str) -> TaskSamples:
    """Samples of `task` in both evaluations. Raises `UserError` where they are not the same samples."""
    ours, theirs = (frame[frame["task"] == task].set_index("doc_id").sort_index() for frame in (base, rl))
    if ours.empty:
        raise UserError(f"task {task}: not in the evaluation of the base model; evaluate it or take it out of `tasks`")
    if not ours.index.equals(theirs.index) or not (ours["prompt"] == theirs["prompt"]).all():
        raise UserError(f"task {task}: base and RL were evaluated on other samples or prompts; evaluate both alike")
    right, now = ours["outcome"] >= 0.5, theirs["outcome"] >= 0.5

    def where(mask: pd.Series) -> list[int]:
        return [int(doc) for doc in ours.index[mask]]

    return TaskSamples(
        prompts={int(doc): str(text) for doc, text in ours["prompt"].items()},
        both_right=where(right & now),
        only_base=where(right & ~now),
        only_rl=where(~right & now),
        both_wrong=where(~right & ~now),
    )


def split(docs: list[int], share: float, rng: np.random.Generator) -> Split:
    """`docs` in two, at random: `share` of them (rounded up) to select on, the rest held out."""
    order = rng.permutation(len(docs))
    cut = int(np.ceil(share * len(docs)))
    return Split(
        selection=sorted(docs[i] for i in order[:cut]),
        held_out=sorted(docs[i] for i in order[cut:]),
    )

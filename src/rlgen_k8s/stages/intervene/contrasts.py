"""Difference-in-differences: the change by an intervention, less what else would have changed."""

from collections.abc import Mapping, Sequence

import numpy as np

from rlgen_k8s.stages.intervene.results import COMPARISONS, POOLED, Comparison, Contrast, Groups, Outcomes, Split
from rlgen_k8s.stats import Interval, difference, mean_change

REFERENCE: dict[str, Split] = {"zero": "both_right", "raise": "both_wrong"}
"""The samples that the model answers as it does the critical ones (RL: right; base: wrong) and so does the other
model: what an edit does to any answer of that kind, it does to these too."""


def contrasts(
    answered: Mapping[str, Sequence[Outcomes]], before: Outcomes, groups: Groups, direction: str, seed: int
) -> list[Contrast]:
    """All comparisons on the held-out and on the unseen critical samples, by task and pooled.

    `answered`: outcomes by kind of condition; `main` and the first set of random features on all samples, the other
    controls at least on the critical ones.
    """
    (main,) = answered["main"]
    of_same_kind = REFERENCE[direction]

    def change(tasks: Sequence[str], split: Split, controls: Sequence[Outcomes]) -> Interval:
        """Against the mean outcome under `controls`, over all samples of `split` in `tasks`."""
        keys = [(task, doc) for task in tasks for doc in groups.get((task, split), ())]
        under = [np.mean([control[key].right for control in controls]) for key in keys]
        return mean_change(under, [main[key].right for key in keys], seed)

    def compared(comparison: Comparison, tasks: Sequence[str], split: Split) -> tuple[Interval, int]:
        if comparison in ("random_features", "random_directions"):
            return change(tasks, split, answered[comparison]), 0
        controls = [before] if comparison == "unchanged_by_rl" else answered["random_features"][:1]
        critical, reference = ([change([t], of, controls) for t in tasks] for of in (split, of_same_kind))
        behind = sum(b.n for a, b in zip(critical, reference, strict=True) if a.n)
        return difference(critical, reference), behind

    found = []
    splits: tuple[Split, ...] = ("held_out", "unseen")
    for split in splits:
        tasks = [task for task, of in groups if of == split]
        for task, members in [*((task, [task]) for task in tasks), (POOLED, tasks)]:
            for comparison in COMPARISONS:
                value, behind = compared(comparison, members, split)
                found.append(
                    Contrast(comparison=comparison, task=task, split=split, difference=value, reference=behind)
                )
    return found

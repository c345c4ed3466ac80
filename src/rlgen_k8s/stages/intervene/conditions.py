"""The conditions a model is scored under: untouched, the intervention, its doses and its controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.stages.intervene.edits import Edit, Target, direction_edit, feature_edit, unchanged
from rlgen_k8s.stages.intervene.settings import InterveneSettings

Kind = Literal["before", "main", "paper", "dose", "random_features", "random_directions"]
MODEL = {"zero": "rl", "raise": "base"}
"""The model that each direction intervenes on, by its name in the joint crosscoder."""


@dataclass(frozen=True)
class Condition:
    """One way to run the model."""

    name: str
    kind: Kind
    edit: Edit
    whole: bool
    """Scored on all samples of the tasks, and on ordinary text; the others on critical samples only."""


def target_of(settings: InterveneSettings) -> Target:
    """What the whole intervention makes of a feature."""
    return Target(goal=0.0 if settings.direction == "zero" else settings.value)


def conditions(
    crosscoder: Crosscoder,
    features: Sequence[int],
    paper_features: Sequence[int],
    random_sets: Sequence[Sequence[int]],
    settings: InterveneSettings,
) -> list[Condition]:
    """First `before`, then the intervention on `features`, then what it is compared with.

    `paper`: the same on the features that the paper's own protocol selects, where it selects any. The intervention and
    the first control of each kind are scored on everything.
    """
    model = MODEL[settings.direction]
    target = target_of(settings)
    main = feature_edit(crosscoder, model, features, target)
    found = [Condition("before", "before", unchanged, whole=True), Condition("main", "main", main, whole=True)]
    if paper_features:
        found.append(Condition("paper", "paper", feature_edit(crosscoder, model, paper_features, target), whole=False))
    found += [
        Condition(f"dose {dose:g}", "dose", feature_edit(crosscoder, model, features, Target(target.goal, dose)), False)
        for dose in settings.doses
    ]
    found += [
        Condition(f"random features {i}", "random_features", feature_edit(crosscoder, model, chosen, target), i == 1)
        for i, chosen in enumerate(random_sets[: settings.random_features], start=1)
    ]
    found += [
        Condition(f"random direction {i}", "random_directions", direction_edit(main, settings.seed + i), i == 1)
        for i in range(1, settings.random_directions + 1)
    ]
    return found

"""What to edit and on which samples to measure it, from the results of `analyse` and `evaluate`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.analyse.critical import TaskSamples, pair_task, read_samples
from rlgen_k8s.stages.analyse.results import FeatureSets
from rlgen_k8s.stages.intervene.conditions import MODEL
from rlgen_k8s.stages.intervene.results import Split
from rlgen_k8s.stages.intervene.settings import InterveneSettings

FeatureSet = Literal["generalization", "fallback", "none"]


@dataclass(frozen=True)
class Choice:
    """Features and samples."""

    finding: str | None
    feature_set: FeatureSet
    features: list[int]
    paper_features: list[int]
    """What the paper's own protocol selects; empty where `paper_protocol` is off."""
    of_interest: list[int]
    """Features that are edited one at a time."""
    random_sets: list[list[int]]
    layer: int
    maxima: dict[int, float]
    """The largest activation of each of `features`, where `analyse` saw one."""
    critical_groups: dict[tuple[str, Split], list[int]]
    """Generalization-critical samples of each task: selection and held-out halves and both together, or unseen."""
    groups: dict[tuple[str, Split], list[int]]
    """These, each task's whole and its four cells of right and wrong."""
    evaluated: dict[tuple[str, int], float]
    """The outcome that stage `evaluate` kept for this model, by task and doc_id."""

    @property
    def whole(self) -> dict[str, list[int]]:
        """All samples of each task."""
        return {task: docs for (task, split), docs in self.groups.items() if split == "whole"}

    @property
    def critical(self) -> dict[str, list[int]]:
        """The critical samples of each task, both halves together."""
        return {task: docs for (task, split), docs in self.critical_groups.items() if split in ("critical", "unseen")}

    def value_over_maximum(self, value: float) -> dict[int, float]:
        """`value` in units of each feature's largest activation; a feature that never fired has none."""
        return {feature: value / largest for feature, largest in self.maxima.items() if largest > 0}


def choose(analysed: Path, base: Path, rl: Path, settings: InterveneSettings) -> Choice:
    """Read `features.json` in `analysed`, and the samples of both evaluations.

    Raises `UserError` where a task is missing in one of them.
    """
    found = json.loads((analysed / "features.json").read_text())
    feature_set, features, finding = _features(found)
    by_paper = FeatureSets.model_validate(found["paper_protocol"])
    both = read_samples(base), read_samples(rl)
    tasks: dict[str, TaskSamples] = {task: pair_task(*both, task) for task in (*settings.tasks, *settings.unseen_tasks)}
    critical: dict[tuple[str, Split], list[int]] = {}
    for task in settings.tasks:
        halves = _of_task(found["critical"], task)
        critical |= {(task, "selection"): halves["selection"], (task, "held_out"): halves["held_out"]}
        critical[task, "critical"] = sorted([*halves["selection"], *halves["held_out"]])
    for task in settings.unseen_tasks:
        critical[task, "unseen"] = _of_task(found["unseen_critical"], task)
    of_model = both[0] if MODEL[settings.direction] == "base" else both[1]
    of_model = of_model[of_model["task"].isin(list(tasks))]
    keys = zip(of_model["task"], of_model["doc_id"], strict=True)
    return Choice(
        finding=finding,
        feature_set=feature_set,
        features=features,
        paper_features=by_paper.chosen if settings.paper_protocol else [],
        of_interest=found["of_interest"],
        random_sets=found["controls"]["random_features"],
        layer=found["layer"],
        maxima={int(i): float(a) for i, a in found["max_activation"].items() if int(i) in features},
        critical_groups=critical,
        groups=critical | _cells(tasks),
        evaluated={(str(task), int(doc)): float(o) for (task, doc), o in zip(keys, of_model["outcome"], strict=True)},
    )


def _features(found: Mapping[str, Any]) -> tuple[FeatureSet, list[int], str | None]:
    if found["generalization"]:
        return "generalization", found["generalization"], None
    nothing = "no generalization features: the tasks' feature sets have nothing in common"
    if found["fallback"]:
        return "fallback", found["fallback"], f"{nothing}; what follows is for {found['fallback_rule']}"
    return "none", [], f"{nothing}, and no feature was chosen in any"


def _of_task(of: Mapping[str, Any], task: str) -> Any:
    if task not in of:
        raise UserError(f"task {task}: not in features.json; analyse it too, or leave it out of the intervention")
    return of[task]


def _cells(tasks: Mapping[str, TaskSamples]) -> dict[tuple[str, Split], list[int]]:
    groups: dict[tuple[str, Split], list[int]] = {}
    for task, samples in tasks.items():
        groups |= {
            (task, "whole"): sorted(samples.prompts),
            (task, "both_right"): samples.both_right,
            (task, "only_base"): samples.only_base,
            (task, "only_rl"): samples.only_rl,
            (task, "both_wrong"): samples.both_wrong,
        }
    return groups

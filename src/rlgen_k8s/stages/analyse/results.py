"""What `analysis.json` and `features.json` hold. Raise `version` when a reader must read differently."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from rlgen_k8s.stats import Interval, Overlap

Kind = Literal["critical", "reverse", "unchanged"]


class Result(BaseModel):
    """A part of the results: frozen and closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Distribution(Result):
    """A score in 0..1 of all features: histogram, and shares beyond given limits with intervals over features."""

    counts: list[int]
    mean: float | None
    beyond: dict[str, Interval]
    """Keys such as ">0.9" and "<0.1"."""
    unwritten: int
    """Features whose decoder rows are all zero: they have no score and are not counted."""


class Matching(Result):
    """How alike the features of two neighbouring checkpoints are, after assignment on cosine."""

    checkpoints: tuple[int, int]
    median: float
    tenth_percentile: float
    same: Interval
    """Share of features with a cosine of at least `same_feature_cosine`."""
    top_median: float
    """Median over the earlier checkpoint's top features only."""


class Restart(Result):
    """How much of the joint crosscoder another start of its training finds again, after assignment on cosine."""

    seed: int
    same: Interval
    """Share of features with a cosine of at least `same_feature_cosine`."""
    median: float
    tenth_percentile: float


class Shift(Result):
    """One feature's place among the top of two neighbouring checkpoints; None is outside the top (*blank*)."""

    feature: int
    """Label: its index in the first checkpoint, or a number beyond D for one that came later."""
    before: int | None
    after: int | None


class Transition(Result):
    """All features in the top of either of two neighbouring checkpoints."""

    checkpoints: tuple[int, int]
    shifts: list[Shift]
    blanks: int
    """Features in the top before and not after; as many come in."""
    median_shift: float | None
    """Median of |change of rank| of those in the top at both; None where there are none."""


class Family(Result):
    """The five crosscoders of one paradigm."""

    n_features: int
    nrn: list[Distribution]
    matching: list[Matching]
    overlap: list[list[int]]
    """[5, 5]: shared features among the top, by matched identity."""
    overlap_by_index: list[list[int]]
    """The same by bare index, which means little: shown for comparison."""
    chance: Overlap
    """Two random sets of `top` features."""
    transitions: list[Transition]


class Cells(Result):
    """How many samples of a task each model gets right."""

    both_right: int
    only_base: int
    only_rl: int
    """The generalization-critical samples."""
    both_wrong: int


class FeatureScore(Result):
    """A selected feature's generalization score on one task."""

    feature: int
    score: Interval
    p: float
    q: float
    """Benjamini-Hochberg over the features that fire on the task's samples."""
    held_out: float | None
    """The same score on the samples kept out of the selection."""


class Selection(Result):
    """Features above the threshold on one task's samples of one kind."""

    n: int
    largest: float | None
    features: list[FeatureScore]
    firing: int
    """Features that fire on at least one of the samples: all a selection can choose from."""
    significant: int
    """Of the selected, those with q at most the false discovery rate."""
    significant_of_all: int
    """Of all firing features, those with q at most the rate and a positive score."""

    @property
    def ids(self) -> list[int]:
        """The selected features, largest score first."""
        return [item.feature for item in self.features]


class TaskResult(Result):
    """One task: its samples and what is selected on them."""

    cells: Cells
    selection: dict[Kind, Selection]
    held_out: Selection | None
    """The same procedure on the held-out critical samples: does it choose the same features?"""
    split_half: Overlap | None
    reverse_overlap: Overlap | None
    """Features selected on critical samples that are selected on base-right, RL-wrong ones too."""


class Generalization(Result):
    """The features of all tasks together."""

    n_features: int
    layer: int
    tasks: dict[str, TaskResult]
    unseen: dict[str, Cells]
    shared: list[list[Overlap]]
    """[tasks, tasks]: overlap of the tasks' sets."""
    intersection: list[int]
    intersection_by_kind: dict[Kind, list[int]]
    fallback: list[int]
    fallback_rule: str
    tasks_without_samples: list[str]


class Analysis(Result):
    """`analysis.json`."""

    version: Literal[1] = 1
    top: int
    threshold: float
    same_feature_cosine: float
    false_discovery_rate: float
    edges: list[float]
    """Bin edges of every histogram."""
    families: dict[str, Family]
    mas: dict[str, Distribution]
    noise: Distribution | None
    """NRN where nothing differs: base against base again; None where the study did not ask for it."""
    restarts: list[Restart]
    generalization: Generalization


class Split(Result):
    """A task's critical samples, by `doc_id`."""

    selection: list[int]
    held_out: list[int]


class Controls(Result):
    """Feature sets to intervene on for comparison."""

    random_features: list[list[int]]


class Features(Result):
    """`features.json`: what `intervene` needs."""

    version: Literal[1] = 1
    generalization: list[int]
    fallback: list[int]
    fallback_rule: str
    per_task: dict[str, list[int]]
    max_activation: dict[str, float]
    """Largest activation of each named feature in one model's branch, at any token of the reference prompts."""
    controls: Controls
    critical: dict[str, Split]
    unseen_critical: dict[str, list[int]]
    layer: int
    cells: dict[str, Cells]

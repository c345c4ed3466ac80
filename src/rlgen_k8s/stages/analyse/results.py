"""What `analysis.json` and `features.json` hold. Raise `version` when a reader must read differently."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from rlgen_k8s.stats import Interval, Overlap

Kind = Literal["critical", "reverse", "unchanged"]
RepeatKind = Literal["seed", "lambda", "size"]


class Result(BaseModel):
    """A part of the results: frozen and closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Distribution(Result):
    """A score in 0..1 of all features: histogram, and shares beyond given limits with intervals over features."""

    counts: list[int]
    mean: float | None
    beyond: dict[str, Interval]
    """Keys such as ">0.9" and "<0.1"."""
    over_seeds: dict[str, Interval]
    """The same shares over starts of the crosscoder, each a training: mean, Student's interval, n counts them. Empty
    where there is one start."""
    unwritten: int
    """Features whose decoder rows are all zero: they have no score and are not counted."""


class Matching(Result):
    """How alike the features of two crosscoders of a family are, after assignment on cosine."""

    checkpoints: tuple[int, int]
    """Neighbours; twice the same one for two starts."""
    median: float
    tenth_percentile: float
    same: Interval
    """Share of features with a cosine of at least `same_feature_cosine`."""
    top_median: float
    """Median over the first one's top features only."""


class Restart(Result):
    """The last checkpoint's crosscoder trained from another start: what NRN and its top owe to the start."""

    seed: int
    matching: Matching
    overlap: int
    """Features among the top of both starts, by matched identity: what to compare the overlap of checkpoints with."""


class Repeat(Result):
    """How much of the joint crosscoder another training of it finds again, after assignment on cosine."""

    kind: RepeatKind
    """What is another one: the seed of its start, λ, or the number of features."""
    value: float
    same: Interval
    """Share of the joint crosscoder's features with a cosine of at least `same_feature_cosine`."""
    median: float
    tenth_percentile: float
    own: dict[str, Interval]
    """By model, the share of its own features with a MAS above 0.7."""


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
    restarts: list[Restart]
    """In order of seed; none where the study did not ask for them."""

    @property
    def shared_by_starts(self) -> float | None:
        """Features that the tops of two starts of one checkpoint share, on average; None where there is one start."""
        shared = [restart.overlap for restart in self.restarts]
        return sum(shared) / len(shared) if shared else None


class Course(Result):
    """The crosscoder of base and all checkpoints."""

    n_features: int
    overlap: dict[str, list[list[int]]]
    """By family [5, 5]: shared features among the top by NRN, by index, which is an identity here."""
    mas: dict[str, Distribution]
    """Of base and the two checkpoints at equal drift, among these three."""


class Drift(Result):
    """How far the checkpoints' next-token distributions have moved from base on held-out text."""

    kl: dict[str, list[Interval]]
    """By family, at each checkpoint: `KL(p_base ‖ p_tuned)` in nats a token; interval and n over sequences."""
    n_tokens: int
    nearest: dict[str, int]
    """By family, the checkpoint (from 1) of the pair whose KLs are nearest by ratio."""


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
    family: float
    """Max-T over the same features: p adjusted so that one false feature in any of them is as rare as it says."""
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
    family_significant: int
    """Of the selected, those with a max-T p at most the same rate."""

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
    drift: Drift
    noise: Distribution | None
    """NRN where nothing differs: base against base again; None where the study did not ask for it."""
    joint_noise: Distribution | None
    """MAS where nothing differs: of one of three copies of base; None as above."""
    repeats: list[Repeat]
    course: Course | None
    """None where the study did not ask for it."""
    generalization: Generalization


class Snippet(Result):
    """A stretch of held-out text around a token on which a feature fires strongly."""

    tokens: list[str]
    activations: list[float]
    """On each token, at the crosscoder's scale; 0 on separators."""
    peak: int
    """Index of that token."""


class LensWords(Result):
    """The next tokens for and against which a decoder direction speaks, with their logits, strongest first."""

    promoted: list[tuple[str, float]]
    suppressed: list[tuple[str, float]]


class Portrait(Result):
    """What is known of one feature of the joint crosscoder."""

    feature: int
    reasons: list[str]
    """Why it is of interest."""
    mas: dict[str, float]
    nrn: dict[str, float]
    """Of each tuned model against base, from the joint decoder."""
    starts: int
    """Of the joint crosscoder, the first included."""
    over_seeds: dict[str, Interval]
    """MAS by model over the starts that have this feature: mean, Student's interval, n counts them. None of it where
    only the first has."""
    fires: float
    """Share of the held-out tokens with an activation above 0."""
    n_tokens: int
    largest: float
    histogram: list[int]
    edges: list[float]
    """Bin edges of `histogram`: tokens by activation."""
    lens: dict[str, LensWords]
    """By model."""
    examples: list[Snippet]
    """Strongest first, at most one a sequence."""
    scores: dict[str, Interval]
    """Generalization score on each task's held-out critical samples."""


class Portraits(Result):
    """`portraits.json`: the features of interest."""

    version: Literal[1] = 1
    features: list[Portrait]


class Split(Result):
    """A task's critical samples, by `doc_id`."""

    selection: list[int]
    held_out: list[int]


class FeatureSets(Result):
    """Features that a protocol selects on each task, and over all tasks."""

    per_task: dict[str, list[int]]
    intersection: list[int]
    fallback: list[int]
    """What stands in where the intersection is empty."""

    @property
    def chosen(self) -> list[int]:
        """The features to intervene on."""
        return self.intersection or self.fallback


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
    paper_protocol: FeatureSets
    """The same procedure on all critical samples, as the paper has it: nothing is held out."""
    of_interest: list[int]
    """Features with a page of their own in the report."""
    max_activation: dict[str, float]
    """Largest activation of each named feature in one model's branch, at any token of the reference prompts."""
    controls: Controls
    critical: dict[str, Split]
    unseen_critical: dict[str, list[int]]
    layer: int
    cells: dict[str, Cells]

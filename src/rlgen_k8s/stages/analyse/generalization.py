"""From two evaluations and the joint crosscoder to the generalization features and their controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlgen_k8s.stages.analyse.activations import PromptFeatures
from rlgen_k8s.stages.analyse.critical import TaskSamples, split
from rlgen_k8s.stages.analyse.results import FeatureSets, Generalization, Kind, Selection, Split, TaskResult
from rlgen_k8s.stages.analyse.selection import Rule, fallback, intersection, select
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stats import Interval, Overlap, bootstrap_mean, overlap_of

KINDS: tuple[Kind, ...] = ("critical", "reverse", "unchanged")
Sample = tuple[str, int]
"""Task and doc_id."""


@dataclass(frozen=True)
class Samples:
    """Which samples each task's features are selected on, and which are for comparison."""

    tasks: Mapping[str, TaskSamples]
    unseen: Mapping[str, TaskSamples]
    splits: Mapping[str, Mapping[Kind, Split]]
    """`critical`: base wrong, RL right. `reverse`: base right, RL wrong. `unchanged`: a random part of the samples
    with the same outcome in both, as many as the critical ones."""
    reference: list[Sample]
    """A random part of all samples of the tasks, for firing rates and largest activations."""

    @property
    def wanted(self) -> list[Sample]:
        """Every sample whose last-token features are needed, each once."""
        chosen = [
            (task, doc)
            for task, kinds in self.splits.items()
            for part in kinds.values()
            for doc in (*part.selection, *part.held_out)
        ]
        return sorted(set(chosen))


def choose_samples(
    tasks: Mapping[str, TaskSamples], unseen: Mapping[str, TaskSamples], settings: AnalyseSettings
) -> Samples:
    """Split every task's samples with the stage's seed."""
    rng = np.random.default_rng(settings.seed)
    splits: dict[str, dict[Kind, Split]] = {}
    for task, samples in tasks.items():
        same = sorted([*samples.both_right, *samples.both_wrong])
        few = min(len(same), len(samples.only_rl))
        docs: dict[Kind, list[int]] = {
            "critical": samples.only_rl,
            "reverse": samples.only_base,
            "unchanged": sorted(int(doc) for doc in rng.choice(same, size=few, replace=False)) if few else [],
        }
        splits[task] = {kind: split(docs[kind], settings.selection_share, rng) for kind in KINDS}
    everything = [(task, doc) for task, samples in tasks.items() for doc in samples.prompts]
    drawn = rng.choice(len(everything), size=min(settings.reference_prompts, len(everything)), replace=False)
    return Samples(tasks, unseen, splits, [everything[i] for i in sorted(drawn)])


def find(
    samples: Samples, base: PromptFeatures, rl: PromptFeatures, layer: int, settings: AnalyseSettings
) -> tuple[Generalization, dict[str, NDArray[np.float64]]]:
    """Select on each task and put the tasks together; `base` and `rl` hold `samples.wanted`, in that order.

    Also returns the scores of all features, `scores-<task>` `[D]`, on the selection half.
    """
    row = {sample: i for i, sample in enumerate(samples.wanted)}
    n_features = rl.last.shape[1]
    rule = Rule(settings.threshold, settings.sign_flips, settings.false_discovery_rate, settings.seed)

    def chosen_on(task: str, docs: list[int], held_out: list[int]) -> Selection:
        rows, others = ([row[task, doc] for doc in part] for part in (docs, held_out))
        beside = (rl.last[others] - base.last[others]).mean(axis=0).astype(np.float64) if others else None
        return select(base.last[rows], rl.last[rows], beside, rule)

    tasks = {}
    scores = {}
    for task, kinds in samples.splits.items():
        selection = {kind: chosen_on(task, part.selection, part.held_out) for kind, part in kinds.items()}
        critical = kinds["critical"]
        held_out = chosen_on(task, critical.held_out, critical.selection) if critical.held_out else None
        ids = selection["critical"].ids
        tasks[task] = TaskResult(
            cells=samples.tasks[task].cells,
            selection=selection,
            held_out=held_out,
            split_half=_overlap(ids, held_out, n_features),
            reverse_overlap=_overlap(ids, selection["reverse"], n_features),
        )
        rows = [row[task, doc] for doc in critical.selection]
        mean = (rl.last[rows] - base.last[rows]).mean(axis=0) if rows else np.zeros(n_features)
        scores[f"scores-{task}"] = mean.astype(np.float64)

    by_kind = {kind: intersection([item.selection[kind].ids for item in tasks.values()]) for kind in KINDS}
    stand_in, words = fallback({t: r.selection["critical"] for t, r in tasks.items()}, settings.fallback_features)
    sets = [item.selection["critical"].ids for item in tasks.values()]
    return Generalization(
        n_features=n_features,
        layer=layer,
        tasks=tasks,
        unseen={task: item.cells for task, item in samples.unseen.items()},
        shared=[[overlap_of(a, b, n_features) for b in sets] for a in sets],
        intersection=by_kind["critical"],
        intersection_by_kind=by_kind,
        fallback=[] if by_kind["critical"] else stand_in,
        fallback_rule=words,
        tasks_without_samples=[task for task, item in tasks.items() if not item.selection["critical"].n],
    ), scores


def paper_protocol(
    samples: Samples, base: PromptFeatures, rl: PromptFeatures, settings: AnalyseSettings
) -> FeatureSets:
    """The paper's own protocol: features are selected on all critical samples, the same that they are measured on."""
    row = {sample: i for i, sample in enumerate(samples.wanted)}
    rule = Rule(settings.threshold, settings.sign_flips, settings.false_discovery_rate, settings.seed)
    chosen = {}
    for task, item in samples.tasks.items():
        rows = [row[task, doc] for doc in item.only_rl]
        chosen[task] = select(base.last[rows], rl.last[rows], None, rule)
    shared = intersection([selection.ids for selection in chosen.values()])
    return FeatureSets(
        per_task={task: selection.ids for task, selection in chosen.items()},
        intersection=shared,
        fallback=[] if shared else fallback(chosen, settings.fallback_features)[0],
    )


def held_out_scores(
    samples: Samples, base: PromptFeatures, rl: PromptFeatures, features: Sequence[int], seed: int
) -> dict[int, dict[str, Interval]]:
    """Generalization score of each of `features` on each task's held-out critical samples.

    Zero without an interval around it where a feature fires in neither model on any of them.
    """
    row = {sample: i for i, sample in enumerate(samples.wanted)}
    held_out = {task: [row[task, doc] for doc in kinds["critical"].held_out] for task, kinds in samples.splits.items()}
    return {
        feature: {
            task: _score(rl.last[rows, feature] - base.last[rows, feature], seed) for task, rows in held_out.items()
        }
        for feature in features
    }


def _score(differences: NDArray[np.float32], seed: int) -> Interval:
    if differences.size and not differences.any():
        return Interval(mean=0.0, low=0.0, high=0.0, n=differences.size)
    return bootstrap_mean(differences, seed)


def _overlap(ids: list[int], other: Selection | None, n_features: int) -> Overlap | None:
    """The overlap with another selection; None where either had no samples to select on."""
    return overlap_of(ids, other.ids, n_features) if other is not None and other.n and ids else None

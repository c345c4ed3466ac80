"""What this run found, in sentences computed from its numbers, also where that is nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rlgen_k8s.stages.intervene.results import POOLED
from rlgen_k8s.stages.report.cells import number, p_value, words
from rlgen_k8s.stages.report.effects import contrast_of, main_row, row_of
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stages.report.learning import HELD_OUT, Comparison, Learnt, of, transfer
from rlgen_k8s.stages.report.paper import TASK_TITLES
from rlgen_k8s.stages.report.tables.drift import apart_at_equal_drift, pair_words
from rlgen_k8s.stats import Interval

LIKE, PARTLY, UNLIKE = "as in the paper", "in part as in the paper", "unlike the paper"
UNCLEAR, NOTHING = "not clear", "nothing found"
TURNOVER = 0.2
"""How far apart the mean overlaps of SFT and RL must be, as a share of the top, to be called different."""


@dataclass(frozen=True)
class Finding:
    """One line of the summary."""

    question: str
    verdict: str
    text: str


def all_findings(
    run: Run, comparisons: Sequence[Comparison], trainings: Sequence[Learnt], learning_p: float
) -> list[Finding]:
    """The summary, in the order of the study's questions."""
    return [
        _learning(run, comparisons, trainings, learning_p),
        _transfer(run, comparisons),
        _specificity(run),
        _turnover(run),
        _features(run),
        _intervention(run, "zero"),
        _intervention(run, "raise"),
    ]


def _learning(run: Run, comparisons: Sequence[Comparison], trainings: Sequence[Learnt], limit: float) -> Finding:
    parts, learnt = [], []
    for model in ("sft", "rl"):
        found = of(comparisons, model, HELD_OUT)
        if found is None:
            return Finding("Did both methods learn?", NOTHING, "MATH500 was not evaluated.")
        better = found.test.p < limit and (found.test.difference.mean or 0) > 0
        learnt.append(better)
        after = 100 * float(run.outcomes(model, HELD_OUT).mean())
        parts.append(
            f"{TITLES[model]} reaches {after:.1f} %, {words(found.test.difference, True)} points "
            f"({found.test.test}, p {_relation(found.test.p)})"
        )
    base = 100 * float(run.outcomes("base", HELD_OUT).mean())
    n = len(run.outcomes("base", HELD_OUT))
    verdict = LIKE if all(learnt) else (PARTLY if any(learnt) else NOTHING)
    outcome = {LIKE: "Both learnt.", PARTLY: "Only one of them learnt.", NOTHING: "Neither is shown to have learnt."}
    text = f"On {n} held-out problems base gets {base:.1f} %; {'; '.join(parts)}. {outcome[verdict]}"
    if others := trainings[1:]:
        again = sum(training.by(limit) for training in others)
        text += f" Further trainings with other seeds: {len(others)}; both learnt in {again} of them."
    return Finding("Did both methods learn?", verdict, text)


def _transfer(run: Run, comparisons: Sequence[Comparison]) -> Finding:
    rate = run.analysis.false_discovery_rate
    parts, counts = [], {}
    for model in ("rl", "sft"):
        better, worse, n = transfer(comparisons, model, rate)
        counts[model] = (len(better), len(worse))
        parts.append(
            f"{TITLES[model]} is better on {_list(better)} and worse on {_list(worse)} of {n} tasks outside maths"
        )
    (rl_up, rl_down), (sft_up, sft_down) = counts["rl"], counts["sft"]
    if not any((rl_up, rl_down, sft_up, sft_down)):
        verdict = NOTHING
    elif rl_up > rl_down and sft_down > sft_up:
        verdict = LIKE
    elif rl_up - rl_down > sft_up - sft_down:
        verdict = PARTLY
    elif rl_up - rl_down < sft_up - sft_down:
        verdict = UNLIKE
    else:
        verdict = UNCLEAR
    text = f"{'; '.join(parts)} (false discovery rate {100 * rate:.0f} %)."
    return Finding("Does RL generalize where SFT forgets?", verdict, text)


def _specificity(run: Run) -> Finding:
    last = {name: family.nrn[-1] for name, family in run.analysis.families.items()}
    tails = {name: one.over_seeds.get(">0.7", one.beyond[">0.7"]) for name, one in last.items()}
    over_seeds = bool(last["sft"].over_seeds and last["rl"].over_seeds)
    text = (
        f"After training, {words(tails['sft'])} % of the features of the SFT crosscoder have NRN above 0.7, "
        f"and {words(tails['rl'])} % of RL's"
    ) + (
        f": means over {tails['sft'].n} seeds of the crosscoder, with their intervals."
        if over_seeds
        else "; the intervals are over features: what another seed of the crosscoder would give is not known."
    )
    if not any(tail.mean for tail in tails.values()):
        return Finding("Does SFT make more features of its own?", NOTHING, f"{text} Neither made features of its own.")
    matched = apart_at_equal_drift(run, ">0.7")
    text += f" At the most equal drift from base, {pair_words(run)}, the difference is {words(matched, True)} points"
    text += ", with the interval over features." if over_seeds else "."
    verdict = UNCLEAR
    if _above(tails["sft"], tails["rl"]):
        verdict = LIKE if _beyond_zero(matched, 1) else PARTLY
    elif _above(tails["rl"], tails["sft"]):
        verdict = UNLIKE
    return Finding("Does SFT make more features of its own?", verdict, text)


def _turnover(run: Run) -> Finding:
    top = run.analysis.top
    kept = {}
    for name, family in run.analysis.families.items():
        shared = [family.overlap[i][j] for i, j in pairwise(range(len(family.overlap)))]
        kept[name] = sum(shared) / len(shared)
    chance = run.analysis.families["sft"].chance.by_chance
    difference = (kept["sft"] - kept["rl"]) / top
    text = (
        f"Neighbouring checkpoints share on average {kept['sft']:.1f} of the top {top} features in SFT and "
        f"{kept['rl']:.1f} in RL (by chance {chance:.1f})."
    )
    starts = {name: family.shared_by_starts for name, family in run.analysis.families.items()}
    changes = {name: kept[name] < shared for name, shared in starts.items() if shared is not None}
    if changes:
        loses = [f"{TITLES[name]} loses {'more' if more else 'no more'}" for name, more in changes.items()]
        text += (
            f" Two seeds of the last checkpoint's crosscoder share {starts['sft']:.1f} in SFT and {starts['rl']:.1f} "
            f"in RL: between checkpoints {' and '.join(loses)} than another seed would."
        )
    else:
        text += " Each crosscoder has one seed: how much two would differ is not known."
    verdict = settling(difference, changes)
    return Finding("Do SFT's features settle early and RL's keep changing?", verdict, text)


def settling(difference: float, changes: Mapping[str, bool]) -> str:
    """Whether SFT's top stays and RL's turns over, by how much more SFT keeps (as a share of the top).

    `changes`: by family, whether its checkpoints share fewer than two starts of one do; empty where that is not known.
    """
    if abs(difference) <= TURNOVER:
        return UNCLEAR
    steady, other = ("sft", "rl") if difference > 0 else ("rl", "sft")
    shown = [not changes[steady], changes[other]] if changes else [True]
    if all(shown):
        return LIKE if difference > 0 else UNLIKE
    return PARTLY if any(shown) and difference > 0 else UNCLEAR


def _features(run: Run) -> Finding:
    found = run.analysis.generalization
    question = "Is there a compact set of features behind generalization?"
    critical = sum(item.selection["critical"].n for item in found.tasks.values())
    sizes = [len(item.selection["critical"].features) for item in found.tasks.values()]
    significant = sum(item.selection["critical"].significant for item in found.tasks.values())
    family = sum(item.selection["critical"].family_significant for item in found.tasks.values())
    reverse = len(set(found.intersection) & set(found.intersection_by_kind["reverse"]))
    text = (
        f"On {critical} critical samples (the selection halves) the {len(sizes)} tasks select {min(sizes)} to "
        f"{max(sizes)} features each, {significant} of the {sum(sizes)} significantly ({family} by max-T); "
        f"{len(found.intersection)} are in all of them."
        if critical
        else "There are no critical samples to select features on."
    )
    if found.tasks_without_samples:
        text += f" Without critical samples: {_list([TASK_TITLES.get(t, t) for t in found.tasks_without_samples])}."
    if not found.intersection:
        stand_in = (
            f" {len(found.fallback)} features stand in for the interventions: {found.fallback_rule}."
            if found.fallback
            else " No feature was selected in any task, so there is nothing to intervene on."
        )
        return Finding(question, NOTHING, text + stand_in)
    text += (
        " The same procedure on samples that only base gets right selects "
        f"{len(found.intersection_by_kind['reverse'])} in all tasks, {reverse} of them the same."
    )
    verdict = LIKE if not reverse and significant else UNCLEAR
    if reverse:
        text += " Features that both sorts of samples select tell RL from base, not success from failure."
    return Finding(question, verdict, text)


def _intervention(run: Run, direction: str) -> Finding:
    result = run.interventions[direction]
    zero = direction == "zero"
    question = "Does switching them off undo RL's gains?" if zero else "Does switching them on help the base model?"
    if not result.rows:
        return Finding(question, NOTHING, f"{(result.finding or 'Nothing was measured').capitalize()}.")
    main = main_row(run, direction, POOLED, "held_out")
    if not main.n:
        return Finding(question, NOTHING, "There are no held-out critical samples to measure on.")
    own, _ = contrast_of(run, direction, "random_features", POOLED, "held_out")
    pushed, _ = contrast_of(run, direction, "random_directions", POOLED, "held_out")
    special, against = contrast_of(run, direction, "unchanged_by_rl", POOLED, "held_out")
    by_paper = row_of(run, direction, "paper", POOLED, "critical")
    text = (
        f"On {main.n} held-out critical samples {words(main, True)} points: {words(own, True)} more than by matched "
        f"random features, {words(pushed, True)} more than by random directions of the same size, "
        f"{words(special, True)} more than on {against} samples answered alike that RL did not change; on all "
        f"samples of the tasks {words(main_row(run, direction, POOLED, 'whole'), True)}."
    )
    if by_paper.n:
        text += f" By the paper's own protocol, on the {by_paper.n} samples of the selection: {words(by_paper, True)}."
    if result.feature_set == "fallback":
        text = f"With the features that stand in for an empty intersection. {text}"
    sign = -1 if zero else 1
    shown = [_beyond_zero(value, sign) for value in (own, pushed, special)]
    if not _beyond_zero(main, sign):
        verdict = UNLIKE if _beyond_zero(main, -sign) else NOTHING
    else:
        verdict = LIKE if all(shown) else (PARTLY if any(shown) else UNCLEAR)
    return Finding(question, verdict, text)


def _beyond_zero(interval: Interval, sign: int) -> bool:
    """Whether the whole interval lies on that side of zero."""
    end = interval.low if sign > 0 else interval.high
    return end is not None and sign * end > 0


def _above(first: Interval, second: Interval) -> bool:
    """Intervals apart, the first higher: stricter than a test at 5 %."""
    return first.low is not None and second.high is not None and first.low > second.high


def _list(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def _relation(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def one_line(findings: Sequence[Finding]) -> str:
    """How many of the questions came out which way."""
    order = (LIKE, PARTLY, UNLIKE, UNCLEAR, NOTHING)
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in order}
    said = [f"{number(count, 0)} {verdict}" for verdict, count in counts.items() if count]
    return f"Of {len(findings)} questions: {', '.join(said)}."

"""The features of interest, each with a page of its own."""

from collections.abc import Sequence

from rlgen_k8s.stages.analyse.results import Portrait
from rlgen_k8s.stages.intervene.results import POOLED
from rlgen_k8s.stages.report.cells import NONE, Cell, Plain, Table, estimate, name, number, percent
from rlgen_k8s.stages.report.effects import main_row, row_of
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import MODELS, Run
from rlgen_k8s.stages.report.paper import TASK_TITLES
from rlgen_k8s.stages.report.tables.interventions import WHAT

FEW = 4
"""Words of the lens in the overview."""


def page_of(feature: int) -> str:
    """The feature's page, from the report."""
    return f"features/{feature}.html"


def interest_table(run: Run) -> Table:
    """One row a feature of interest."""
    rows: list[list[Cell]] = []
    for portrait in run.portraits:
        alone = [result.alone.get(portrait.feature) for result in run.interventions.values()]
        rows.append(
            [
                Plain(f"Feature {portrait.feature}", "name", page_of(portrait.feature)),
                Plain("; ".join(portrait.reasons), "words"),
                *(Plain(number(portrait.mas[model], 2)) for model in MODELS),
                Plain(number(100 * portrait.fires, 2)),
                Plain(lens_words(portrait, "rl", FEW), "words"),
                *(Plain(NONE, "soft") if found is None else estimate(found.divergence, digits=4) for found in alone),
            ]
        )
    tokens = sorted({portrait.n_tokens for portrait in run.portraits})
    return Table(
        "table-interest",
        "Features of interest, each with its page",
        "Features of the joint crosscoder that are intervened on, that the paper’s protocol selects, and those with "
        "the highest MAS for SFT and for RL. Fires: on how many of "
        f"{' or '.join(f'{n:,}' for n in tokens)} held-out tokens, in %. Promotes: next tokens that its direction in "
        "RL speaks for most (logit lens). KL: what editing this feature alone does to ordinary text, nats a token; n "
        "counts sequences.",
        [
            "Feature",
            "Why",
            *(f"MAS {TITLES[model]}" for model in MODELS),
            "Fires",
            "Promotes",
            "KL, to 0 in RL",
            "KL, raised in base",
        ],
        rows,
        empty="There are none: nothing was selected, and no feature fires.",
    )


def lens_words(portrait: Portrait, model: str, most: int) -> str:
    """The tokens that the feature promotes in `model`, visibly."""
    return " ".join(visible(word) for word, _logit in portrait.lens[model].promoted[:most])


def visible(token: str) -> str:
    """A token with its white space to be seen."""
    return token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"


def belonging_table(portrait: Portrait) -> Table:
    """To whom one feature belongs, and what each model's direction says."""
    rows: list[list[Cell]] = []
    for model in MODELS:
        lens = portrait.lens[model]
        rows.append(
            [
                name(TITLES[model]),
                Plain(number(portrait.mas[model], 3)),
                *(
                    [estimate(portrait.over_seeds[model]) if portrait.over_seeds[model].n else Plain(NONE, "soft")]
                    if portrait.starts > 1
                    else []
                ),
                Plain(number(portrait.nrn[model], 3) if model in portrait.nrn else NONE),
                *(
                    Plain(" · ".join(f"{visible(word)} {number(logit, 1)}" for word, logit in words), "words")
                    for words in (lens.promoted, lens.suppressed)
                ),
            ]
        )
    return Table(
        "table-belonging",
        "To whom it belongs, and what it says",
        "MAS: the model’s share of the decoder; the three sum to 1. "
        + (
            f"Over seeds: mean over those of {portrait.starts} starts of the crosscoder that have this feature, n "
            "counts them, with Student’s interval; a dash where only this one has it. "
            if portrait.starts > 1
            else ""
        )
        + "NRN: of the tuned model against base alone, 0.5 is "
        "shared. Promotes and suppresses: the next tokens with the highest and the lowest logits of its decoder "
        "direction in that model (logit lens: the upper half of the model is skipped).",
        ["Model", "MAS", *(["MAS, over seeds"] if portrait.starts > 1 else []), "NRN", "Promotes", "Suppresses"],
        rows,
    )


def scores_table(portrait: Portrait) -> Table:
    """One feature's generalization score on every task."""
    rows: list[Sequence[Cell]] = [
        [
            name(TASK_TITLES.get(task, task)),
            Plain(f"silent (n = {score.n:,})", "soft")
            if score.mean == score.low == score.high == 0
            else estimate(score, digits=4, signed=True),
        ]
        for task, score in portrait.scores.items()
    ]
    return Table(
        "table-scores",
        "Generalization scores",
        "Mean of its activation in RL less that in base at the last prompt token, on the held-out half of each task’s "
        "critical samples. Silent: above 0 in neither model.",
        ["Task", "Score"],
        rows,
    )


def effects_table(run: Run, portrait: Portrait) -> Table:
    """What interventions do: on this feature alone, and on a set that holds it."""
    rows: list[list[Cell]] = []
    for direction, result in run.interventions.items():
        sets = {
            "ours": (result.features, main_row(run, direction, POOLED, "held_out")),
            "paper": (result.paper_features, row_of(run, direction, "paper", POOLED, "critical")),
        }
        alone = result.alone.get(portrait.feature)
        rows.append(
            [
                name(WHAT[direction]),
                *(
                    [Plain(NONE, "soft")] * 2
                    if alone is None
                    else [estimate(alone.loss, digits=4, signed=True), estimate(alone.divergence, digits=4)]
                ),
                *(
                    percent(change, signed=True, note=f"{len(features)} features")
                    if portrait.feature in features
                    else Plain("not in it", "soft")
                    for features, change in sets.values()
                ),
            ]
        )
    return Table(
        "table-effects",
        "What interventions do",
        "This feature alone: change of the next-token loss and KL(untouched ‖ edited) on held-out text, nats a token; "
        "n counts sequences. The sets that hold it: change of accuracy in points on critical samples of all tasks, by "
        "our protocol on the held-out half, by the paper’s on the samples of the selection.",
        ["Intervention", "Loss, alone", "KL, alone", "Accuracy, our set", "Accuracy, the paper’s set"],
        rows,
    )

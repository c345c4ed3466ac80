"""Crosscoder quality, matching, and the selection of features."""

from collections.abc import Mapping, Sequence

from rlgen_k8s.stages.analyse.results import Distribution, Selection
from rlgen_k8s.stages.report.cells import NONE, Cell, Plain, Table, estimate, name, number, percent
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stages.report.paper import TASK_TITLES
from rlgen_k8s.stats import Interval, Overlap

AGAIN = (
    " Seed: the last checkpoint’s crosscoder against another training of it, on the same batches from other weights. "
    "Crosscoders of checkpoints all start from the same weights: as many blanks as in such a row need no change of the "
    "model; more do."
)


def crosscoder_table(run: Run) -> Table:
    """One row a crosscoder and model."""
    rows: list[list[Cell]] = []
    for title, metrics in run.crosscoders.items():
        for i, (model, figures) in enumerate(metrics["models"].items()):
            shared = [f"{metrics['l0']:.1f}", f"{metrics['dead']} / {metrics['n_features']}", str(metrics["dense"])]
            rows.append(
                [
                    name(title if i == 0 else ""),
                    Plain(_model(model)),
                    Plain(number(100 * figures["variance_explained"], 1)),
                    Plain(_percent(figures["loss_recovered"])),
                    Plain(_percent(figures["kl_recovered"])),
                    *(Plain(number(figures[key], 3)) for key in ("loss", "loss_spliced", "loss_ablated")),
                    Plain(f"{figures['own_confirmed']} of {figures['own']}"),
                    percent(Interval(**metrics["own_use"][model])),
                    *(Plain(text if i == 0 else "") for text in shared),
                ]
            )
    tokens = sorted({m["evaluation_tokens"] for m in run.crosscoders.values()})
    return Table(
        "table-crosscoders",
        "How good the crosscoders are",
        f"On held-out text, n = {' or '.join(f'{n:,}' for n in tokens)} tokens. Variance explained and loss recovered "
        "in %; loss in nats a token: of the model itself, with the reconstruction put back into it, and with the layer "
        "ablated. KL recovered: the same of the divergence from the model's own predictions, where errors do not "
        "cancel. Own: features that fire and whose decoder is more than 90 % this model's (MAS), and how many of them "
        "latent scaling confirms: it finds them neither in another model's reconstruction (ν below 0.5) nor in what "
        "that leaves out (below 0.2). Use of own: their share of all firings in %, interval over sequences. L0: "
        "features above 0 a token. Dead: never above 0 there. Where loss recovered is low, what the features say is "
        "not what the model does.",
        [
            "Crosscoder",
            "Model",
            "Var. expl.",
            "Loss rec.",
            "KL rec.",
            "Loss",
            "Spliced",
            "Ablated",
            "Confirmed own",
            "Use of own",
            "L0",
            "Dead",
            "Dense",
        ],
        rows,
    )


def matching_table(run: Run) -> Table:
    """How well features of neighbouring checkpoints are matched, and those of two starts of the last."""
    rows: list[list[Cell]] = []
    for family, result in run.analysis.families.items():
        shown = [
            ("{}/5 → {}/5".format(*match.checkpoints), match, shift.blanks)
            for match, shift in zip(result.matching, result.transitions, strict=True)
        ]
        shown += [
            (f"5/5 → seed {again.seed}", again.matching, result.chance.sizes[0] - again.overlap)
            for again in result.restarts
        ]
        for title, match, blanks in shown:
            rows.append(
                [
                    name(f"{TITLES[family]} {title}"),
                    Plain(number(match.median, 3)),
                    Plain(number(match.tenth_percentile, 3)),
                    Plain(number(match.top_median, 3)),
                    percent(match.same),
                    Plain(str(blanks)),
                ]
            )
    limit = run.analysis.same_feature_cosine
    return Table(
        "table-matching",
        "Are they the same features?",
        "Features of neighbouring checkpoints are paired by decoder direction (assignment on cosine), not by index; "
        "one that has no partner counts as 0. "
        f"Same: share of features with a cosine of at least {limit:g}; below that, a feature counts as new. "
        f"Median of the top: of the {run.analysis.top} features with the highest NRN at the earlier checkpoint."
        + (AGAIN if any(family.restarts for family in run.analysis.families.values()) else ""),
        ["Checkpoints", "Median cosine", "10th percentile", "Median of the top", "Same, %", "Blank"],
        rows,
    )


def specificity_table(run: Run) -> Table:
    """Shares of features beyond limits of NRN, with intervals over features and, if there are, over starts."""
    limits = ("<0.1", "<0.3", ">0.7", ">0.9")
    shown = {
        f"{TITLES[family]} {k}/5": distribution
        for family, result in run.analysis.families.items()
        for k, distribution in enumerate(result.nrn, 1)
    }
    if run.analysis.noise is not None:
        shown["Base again"] = run.analysis.noise
    return Table(
        "table-nrn",
        "Shares of features by NRN",
        f"Per cent of all features. {_intervals(shown)} Below 0.3 mostly the base "
        "model's own, above 0.7 mostly the tuned model's. Base again, where a study asks for it: base and base, in "
        "halves started apart; what such a row shows is no difference between models.",
        ["Checkpoint", *(f"NRN {limit[0]} {limit[1:]}" for limit in limits)],
        _shares(shown, limits),
    )


def mas_table(run: Run) -> Table:
    """Shares of features beyond limits of MAS, in the same way."""
    limits = (">0.5", ">0.7", ">0.9")
    shown = {TITLES[model]: distribution for model, distribution in run.analysis.mas.items()}
    if run.analysis.joint_noise is not None:
        shown["Base again"] = run.analysis.joint_noise
    return Table(
        "table-mas",
        "Shares of features by MAS",
        f"Per cent of the joint crosscoder's features. {_intervals(shown)}"
        + (" Base again: one of three copies of base, started apart." if run.analysis.joint_noise else ""),
        ["Model", *(f"MAS {limit[0]} {limit[1:]}" for limit in limits)],
        _shares(shown, limits),
    )


def _shares(shown: Mapping[str, Distribution], limits: Sequence[str]) -> list[list[Cell]]:
    """A row each, and one over starts beneath where there are several."""
    rows: list[list[Cell]] = []
    for title, distribution in shown.items():
        rows.append([name(title), *(percent(distribution.beyond[limit]) for limit in limits)])
        if distribution.over_seeds:
            rows.append([name(f"{title}, over seeds"), *(percent(distribution.over_seeds[limit]) for limit in limits)])
    return rows


def _intervals(shown: Mapping[str, Distribution]) -> str:
    """Which interval is which."""
    over_features = "The interval is over features (bootstrap), n counts them: it says nothing of another training."
    over_seeds = (
        " Over seeds: mean over crosscoders of the same models that start from other weights, with Student’s interval, "
        "n counts them. Only this one says what another start may give. Of two starts it is wide; where all give "
        "the same it is a point, which is not certainty."
    )
    return over_features + (over_seeds if any(one.over_seeds for one in shown.values()) else "")


def selection_table(run: Run) -> Table:
    """Per task: what was selected on the critical samples, and whether it means anything."""
    rows: list[list[Cell]] = []
    for task, result in run.analysis.generalization.tasks.items():
        chosen = result.selection["critical"]
        rows.append(
            [
                name(TASK_TITLES.get(task, task)),
                estimate(chosen.features[0].score, digits=3) if chosen.features else Plain(f"{NONE} (n = {chosen.n})"),
                Plain(f"{len(chosen.features)} of {chosen.firing}"),
                Plain(str(chosen.significant)),
                Plain(str(chosen.family_significant)),
                Plain(_overlap(result.split_half)),
                Plain(_overlap(result.reverse_overlap)),
                Plain(_selected(result.selection["reverse"])),
                Plain(_selected(result.selection["unchanged"])),
            ]
        )
    found = run.analysis
    return Table(
        "table-selection",
        "Features selected on each task, and the same procedure where it should find nothing",
        f"On the selection half. A feature is selected above {100 * found.threshold:.0f} % of the largest score, "
        "so some always are. Significant: by sign flips of the samples' differences, false discovery rate "
        f"{100 * found.false_discovery_rate:.0f} %; by max-T: where one false feature on the whole task is as rare as "
        "that. Other half: shared with what the held-out half selects (in "
        "brackets by chance). Reverse: the procedure on samples that only base gets right; unchanged: "
        "on as many with the same outcome in both.",
        [
            "Task",
            "Largest score",
            "Selected of firing",
            "Significant",
            "By max-T",
            "Shared with other half",
            "Shared with reverse",
            "Reverse selects",
            "Unchanged selects",
        ],
        rows,
    )


def _overlap(found: Overlap | None) -> str:
    return NONE if found is None else f"{found.shared} of {found.sizes[0]} ({found.by_chance:.1f})"


def _selected(selection: Selection) -> str:
    return f"{len(selection.features)} (n = {selection.n})"


def _model(name: str) -> str:
    """SFT, Base; of a checkpoint also which one."""
    family, _, k = name.partition("-")
    return f"{TITLES.get(family, family)} {k}/5" if k else TITLES.get(name, name)


def _percent(value: float | None) -> str:
    return NONE if value is None else number(100 * value, 1)

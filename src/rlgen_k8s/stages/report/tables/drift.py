"""SFT and RL at equal drift from base."""

from rlgen_k8s.stages.report.cells import Cell, Table, estimate, name, number, percent
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stats import Interval, difference

LIMITS = ("<0.3", ">0.7", ">0.9")


def drift_table(run: Run) -> Table:
    """Every checkpoint's KL and shares of features by NRN; first the nearest pair and its difference."""
    rows = [_row(run, family, k, ", nearest") for family, k in run.analysis.drift.nearest.items()]
    apart = [percent(apart_at_equal_drift(run, limit), signed=True) for limit in LIMITS]
    rows.append([name("SFT − RL, nearest"), estimate(kl_apart(run), digits=4, signed=True), *apart])
    rows += [_row(run, family, k) for family, kl in run.analysis.drift.kl.items() for k in range(1, len(kl) + 1)]
    return Table(
        "table-drift",
        "At equal drift: shares of features by NRN",
        "KL(base ‖ checkpoint) of next-token distributions on "
        f"{run.analysis.drift.n_tokens:,} tokens of held-out text, nats a token; n counts sequences. Shares in % of "
        "the features of each checkpoint’s crosscoder with base, differences in points; n counts features.",
        ["Checkpoint", "KL from base", *(f"NRN {limit[0]} {limit[1:]}" for limit in LIMITS)],
        rows,
    )


def pair_words(run: Run) -> str:
    """The nearest pair with its KLs: `SFT 1/5 (KL 0.0123) and RL 4/5 (KL 0.0125)`."""
    return " and ".join(
        f"{TITLES[family]} {k}/{len(run.analysis.drift.kl[family])} (KL {number(_kl(run, family).mean or 0.0, 4)})"
        for family, k in run.analysis.drift.nearest.items()
    )


def last_words(run: Run) -> str:
    """The last checkpoints with their KLs."""
    ends = {family: kl[-1] for family, kl in run.analysis.drift.kl.items()}
    return " and ".join(f"{TITLES[family]} (KL {number(kl.mean or 0.0, 4)})" for family, kl in ends.items())


def apart_at_equal_drift(run: Run, limit: str) -> Interval:
    """How much larger SFT's share of features beyond `limit` of NRN is than RL's, at the nearest pair."""
    sft, rl = (run.analysis.families[f].nrn[k - 1].beyond[limit] for f, k in run.analysis.drift.nearest.items())
    return difference([sft], [rl])


def kl_apart(run: Run) -> Interval:
    """How much further SFT is from base than RL, at the nearest pair."""
    sft, rl = (_kl(run, family) for family in run.analysis.drift.nearest)
    return difference([sft], [rl])


def _kl(run: Run, family: str) -> Interval:
    return run.analysis.drift.kl[family][run.analysis.drift.nearest[family] - 1]


def _row(run: Run, family: str, k: int, note: str = "") -> list[Cell]:
    kl, shares = run.analysis.drift.kl[family], run.analysis.families[family].nrn[k - 1].beyond
    cells = [estimate(kl[k - 1], digits=4), *(percent(shares[limit]) for limit in LIMITS)]
    return [name(f"{TITLES[family]} {k}/{len(kl)}{note}"), *cells]

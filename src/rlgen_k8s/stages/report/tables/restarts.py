"""The joint crosscoder beside those that were trained from other starts."""

from rlgen_k8s.stages.report.cells import Cell, Plain, Table, name, number, percent
from rlgen_k8s.stages.report.inputs import Run


def restarts_table(run: Run) -> Table:
    """A row a further start; no rows where there is none."""
    rows: list[list[Cell]] = [
        [
            name(str(restart.seed)),
            percent(restart.same),
            Plain(number(restart.median, 3)),
            Plain(number(restart.tenth_percentile, 3)),
        ]
        for restart in run.analysis.restarts
    ]
    return Table(
        "table-restarts",
        "Does another start find the same features?",
        "The joint crosscoder, trained on the same batches from other weights; its features are matched one to one by "
        "decoder direction. Found again: share of the features whose partner has a cosine of at least "
        f"{run.analysis.same_feature_cosine:g}. What one start finds and another does not is a property of the "
        "training more than of the models.",
        ["Seed of the start", "Found again, %", "Median cosine", "10th percentile"],
        rows,
        empty="The joint crosscoder was trained once. `--set crosscoder_seeds=[1,2]` trains it from two more starts.",
    )

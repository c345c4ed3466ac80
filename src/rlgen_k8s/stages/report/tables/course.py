"""The crosscoder of base and all checkpoints."""

from itertools import pairwise

from rlgen_k8s.stages.report.cells import Cell, Plain, Table, name
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import Run


def course_table(run: Run) -> Table:
    """Shared top features of neighbouring checkpoints, and of the first and the last; no rows where there is none."""
    course, families = run.analysis.course, run.analysis.families
    steps = [*pairwise(range(1, 6)), (1, 5)]
    rows: list[list[Cell]] = []
    for family, overlap in (course.overlap if course else {}).items():
        for title, shared in ((TITLES[family], overlap), ("by matching", families[family].overlap)):
            rows.append([name(title), *(Plain(str(shared[a - 1][b - 1])) for a, b in steps)])
    return Table(
        "table-course",
        "The same without matching",
        "In one crosscoder of base and all ten checkpoints a feature is one feature from the first to the last. Shared "
        f"among the {run.analysis.top} features with the highest NRN (of the checkpoint’s decoder rows against base’s) "
        "at two checkpoints; beneath, what Figure 2 has for crosscoders of two models.",
        ["Family", *(f"{a}/5 and {b}/5" for a, b in steps)],
        rows,
        empty="This run has no crosscoder of all checkpoints. `--set every_checkpoint=true` trains one.",
    )

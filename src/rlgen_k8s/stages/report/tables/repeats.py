"""The joint crosscoder beside those that were trained from other starts, with other λ's and in other sizes."""

from rlgen_k8s.stages.report.cells import Cell, Plain, Table, name, number, percent
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import MODELS, Run

WORDS = {"seed": "seed {:.0f}", "lambda": "λ = {:g}", "size": "{:,.0f} features"}


def repeats_table(run: Run) -> Table:
    """A row a further training; no rows where there is none."""
    rows: list[list[Cell]] = [
        [
            name(WORDS[other.kind].format(other.value)),
            percent(other.same),
            Plain(number(other.median, 3)),
            Plain(number(other.tenth_percentile, 3)),
            *(percent(other.own[model]) for model in MODELS),
        ]
        for other in run.analysis.repeats
    ]
    return Table(
        "table-repeats",
        "Does another training find the same features?",
        "The joint crosscoder, trained on the same batches from other weights, with another sparsity weight or in "
        "another size; its features are matched one to one by decoder direction. Found again: share of the features "
        f"whose partner has a cosine of at least {run.analysis.same_feature_cosine:g}. What one training finds and "
        "another does not is a property of the training more than of the models. MAS above 0.7: share of the other "
        "one's features, as the table above has it for the first.",
        [
            "Trained with",
            "Found again, %",
            "Median cosine",
            "10th percentile",
            *(f"{TITLES[model]}: MAS > 0.7, %" for model in MODELS),
        ],
        rows,
        empty="The joint crosscoder was trained once. `--set crosscoder_seeds=[1,2]` trains it from two more starts, "
        "`crosscoder_weights` and `crosscoder_sizes` with other sparsity weights and numbers of features.",
    )

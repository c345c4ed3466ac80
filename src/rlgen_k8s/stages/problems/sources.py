"""The sets that problems come from, and those that they must not be in."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.fingerprint import fingerprint
from rlgen_k8s.lm.hub import load_set

MATH = "DigitalLearningGmbH/MATH-lighteval"
DEEPSCALER = "agentica-org/DeepScaleR-Preview-Dataset"
EVALUATED = (
    ("HuggingFaceH4/MATH-500", "test", "problem"),
    ("Maxwell-Jia/AIME_2024", "train", "Problem"),
    ("math-ai/aime25", "test", "problem"),
)
"""Sets of maths problems that are evaluated on: name, split, column of the problem's text."""


class Candidate(NamedTuple):
    """A problem with its final answer ("" if it has none) and the set it comes from."""

    problem: str
    answer: str
    source: str


def read_math(mirror: Path, scratch: Path) -> list[Candidate]:
    """MATH's training split; the answer is the last box of the solution."""
    table = _columns(mirror, MATH, "train", ("problem", "solution"), scratch)
    return [
        Candidate(problem, boxed(solution), MATH)
        for problem, solution in zip(table["problem"], table["solution"], strict=True)
    ]


def read_deepscaler(mirror: Path, scratch: Path) -> list[Candidate]:
    """DeepScaleR, which comes with answers."""
    table = _columns(mirror, DEEPSCALER, "train", ("problem", "answer"), scratch)
    return [
        Candidate(problem, answer.strip(), DEEPSCALER)
        for problem, answer in zip(table["problem"], table["answer"], strict=True)
    ]


def evaluated(mirror: Path, scratch: Path) -> set[str]:
    """Fingerprints of all problems that are evaluated on."""
    return {
        fingerprint(text)
        for name, split, column in EVALUATED
        for text in _columns(mirror, name, split, (column,), scratch)[column]
    }


def boxed(solution: str) -> str:
    r"""What stands in the last \boxed{…} of `solution`, braces balanced; "" if there is none."""
    start = solution.rfind("\\boxed{")
    if start < 0:
        return ""
    depth, begin = 1, start + len("\\boxed{")
    for place in range(begin, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[place], 0)
        if depth == 0:
            return solution[begin:place].strip()
    return ""


def _columns(mirror: Path, name: str, split: str, columns: Sequence[str], scratch: Path) -> pd.DataFrame:
    """`columns` as text, "" where there is nothing. Raises `UserError` if one is missing."""
    table = load_set(mirror, name, split=split, scratch=scratch)
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise UserError(
            f"data set {name}: has no column {', '.join(missing)}, only {', '.join(table.column_names)}; "
            "rename or add it"
        )
    frame: pd.DataFrame = table.select_columns(list(columns)).to_pandas()
    return frame.fillna("").astype(str)

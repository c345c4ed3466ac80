import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.problems.run import run
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.stages.problems.sources import DEEPSCALER, MATH, boxed

Make = Callable[..., Context[Any]]


def change(mirror: Path, hub: str, how: Callable[[pd.DataFrame], pd.DataFrame], split: str = "train") -> None:
    """Rewrite a split's table."""
    (file,) = (mirror / hub).rglob(f"{split}-*.parquet")
    how(pd.read_parquet(file)).to_parquet(file)


def result(context: Context[Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    run(context)
    return pd.read_parquet(context.out / "problems.parquet"), json.loads((context.out / "problems.json").read_text())


def test_problems_of_both_sets_are_joined_with_their_final_answers(
    mirror: Path, context: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    table, summary = result(context(ProblemsSettings(instruction=""), mirror=mirror))
    assert list(table.columns) == ["id", "problem", "answer", "source"]
    assert table["id"].is_unique
    assert set(table["source"]) == {MATH, DEEPSCALER}
    assert summary["problems"] + sum(summary["dropped"].values()) == 300
    answers = {row["problem"]: row["answer"] for row in rows(mirror, DEEPSCALER, "train")}
    kept = table[table["source"] == DEEPSCALER]
    assert all(answers[row.problem] == row.answer for row in kept.itertuples())


def test_the_instruction_follows_each_problem(mirror: Path, context: Make) -> None:
    plain, _ = result(context(ProblemsSettings(instruction=""), name="plain", mirror=mirror))
    asked, _ = result(context(ProblemsSettings(instruction="Think."), name="asked", mirror=mirror))
    assert list(asked["problem"]) == [f"{text}\nThink." for text in plain["problem"]]
    assert list(asked["id"]) == list(plain["id"])


def test_a_problem_that_is_evaluated_on_is_dropped_whatever_its_spelling(own_mirror: Path, context: Make) -> None:
    (file,) = (own_mirror / "HuggingFaceH4/MATH-500").rglob("test-*.parquet")
    leaked = pd.read_parquet(file)["problem"][:5].str.upper() + "  "
    change(own_mirror, DEEPSCALER, lambda table: table.assign(problem=[*leaked, *table["problem"][5:]]))
    table, summary = result(context(ProblemsSettings(instruction=""), mirror=own_mirror))
    assert summary["dropped"]["in an evaluation set"] == 5
    assert not set(leaked) & set(table["problem"])


def test_a_problem_in_both_sets_is_kept_once(own_mirror: Path, context: Make) -> None:
    (file,) = (own_mirror / MATH).rglob("train-*.parquet")
    twice = pd.read_parquet(file)["problem"].drop_duplicates()[:20]
    _, before = result(context(ProblemsSettings(), name="before", mirror=own_mirror))
    change(own_mirror, DEEPSCALER, lambda t: pd.concat([t, t[:20].assign(problem=list(twice))]))
    _, after = result(context(ProblemsSettings(), name="after", mirror=own_mirror))
    assert after["problems"] == before["problems"]
    assert after["dropped"]["twice"] == before["dropped"].get("twice", 0) + 20


def test_the_seed_draws_a_sample_of_the_size(mirror: Path, context: Make) -> None:
    drawn = [
        result(context(ProblemsSettings(size=50, seed=seed), name=f"{place}", mirror=mirror))[0]
        for place, seed in enumerate((1, 1, 2))
    ]
    assert [len(table) for table in drawn] == [50, 50, 50]
    assert list(drawn[0]["id"]) == list(drawn[1]["id"]) != list(drawn[2]["id"])


def test_a_missing_column_is_named(own_mirror: Path, context: Make) -> None:
    change(own_mirror, DEEPSCALER, lambda table: table.drop(columns="answer"))
    with pytest.raises(UserError, match=f"data set {DEEPSCALER}: has no column answer, only problem, solution"):
        run(context(ProblemsSettings(), mirror=own_mirror))


def test_an_empty_set_is_named(own_mirror: Path, context: Make) -> None:
    change(own_mirror, MATH, lambda table: table[:0])
    with pytest.raises(UserError, match=f"data set {MATH}, split train: empty or damaged"):
        run(context(ProblemsSettings(), mirror=own_mirror))


def test_problems_without_answers_are_dropped_and_refused_if_there_are_no_others(
    own_mirror: Path, context: Make
) -> None:
    change(own_mirror, DEEPSCALER, lambda table: table.assign(answer=""))
    table, summary = result(context(ProblemsSettings(), name="some", mirror=own_mirror))
    assert set(table["source"]) == {MATH}
    assert summary["dropped"]["without answer"] == 150
    change(own_mirror, MATH, lambda table: table.assign(solution="It is clear."))
    with pytest.raises(UserError, match="none of 300 has an answer"):
        run(context(ProblemsSettings(), name="none", mirror=own_mirror))


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"So \boxed{42}.", "42"),
        (r"First \boxed{1}, then $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"Cut short: \boxed{\frac{1}{2}", ""),
        ("No box: 42.", ""),
    ],
)
def test_the_answer_of_a_solution_is_its_last_box(solution: str, answer: str) -> None:
    assert boxed(solution) == answer

import json
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.harness.maths import average_at_k
from rlgen_k8s.stages.evaluate.run import run
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.frame.context import local_context

TINY = EvaluateSettings(
    engine="hf",
    multiple_choice=("piqa",),
    limit=4,
    repeats_aime=2,
    max_new_tokens=8,
    tokens_per_batch=400,
    sequences_per_generation=5,
    temperature=1.0,
    instruction="Put it in a box.",
)


def evaluated(settings: EvaluateSettings, model: Path, mirror: Path, out: Path) -> pd.DataFrame:
    run(local_context(settings, {"model": model, "mirror": mirror}, out))
    return pd.read_parquet(out / "samples.parquet")


@pytest.mark.parametrize(
    ("gold", "responses", "expected"),
    [
        ("27", [r"So \boxed{27}.", "The answer is 27.", r"\boxed{72}", ""], [1, 1, 0, 0]),
        ("27", [r"\boxed{027}"], [1]),
        (r"\frac{1}{2}", [r"\boxed{0.5}", r"\boxed{2}"], [1, 0]),
    ],
)
def test_average_at_k_is_the_share_of_right_responses(gold: str, responses: list[str], expected: list[int]):
    for key in ("answer", "Answer"):
        found = average_at_k({key: gold}, [responses])
        assert found == {"average_at_k": sum(expected) / len(expected), "correct": expected}


def test_every_response_to_a_chat_prompt_is_kept_and_the_same_seed_gives_the_same(
    mirror: Path, model_folder: Path, tmp_path: Path
):
    first = evaluated(TINY, model_folder, mirror, tmp_path / "a")
    again = evaluated(TINY, model_folder, mirror, tmp_path / "b")
    other = evaluated(TINY.model_copy(update={"seed": 1}), model_folder, mirror, tmp_path / "c")
    maths = first[first["task"] != "piqa"]
    assert maths.groupby("task", sort=False).size().to_dict() == {"math500": 4, "aime24": 4, "aime25": 4}
    assert {task: {len(r) for r in rows["responses"]} for task, rows in maths.groupby("task")} == {
        "math500": {3},
        "aime24": {2},
        "aime25": {2},
    }
    assert all(row.outcome == sum(row.correct) / len(row.correct) for row in maths.itertuples())
    assert maths.iloc[0]["prompt"] == (
        "<|im_start|>user\nWhat is 0 + 1?\nPut it in a box.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert maths.iloc[4]["gold"] == "2"
    texts = [[list(r) for r in frame["responses"]] for frame in (first, again, other)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert len({text for row in texts[0] for text in row}) > 5

    results = json.loads((tmp_path / "a" / "results.json").read_text())
    for task, rows in first.groupby("task"):
        assert results[task]["n"] == 4
        assert results[task]["mean"] == pytest.approx(rows["outcome"].mean())
        assert results[task]["stderr"] == pytest.approx(rows["outcome"].std() / 2)
    assert {results[task]["metric"] for task in results} == {"acc", "average_at_k"}


def test_responses_longer_than_the_model_can_read_are_refused(mirror: Path, model_folder: Path, tmp_path: Path):
    settings = TINY.model_copy(update={"max_new_tokens": 256})
    with pytest.raises(UserError, match=r"max_new_tokens 256: the model's context has 256 tokens"):
        evaluated(settings, model_folder, mirror, tmp_path / "out")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"temperature": 0}, "temperature"), ({"multiple_choice": (), "maths": ()}, "multiple_choice"), ({"k": 3}, "k")],
)
def test_contradictory_or_unknown_settings_are_refused_by_name(wrong: dict[str, object], field: str):
    with pytest.raises(ValidationError, match=field):
        EvaluateSettings(**wrong)

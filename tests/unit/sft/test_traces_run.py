from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.traces.run import run
from rlgen_k8s.stages.traces.settings import TracesSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def test_a_teacher_that_is_never_right_is_named_with_what_to_do(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    teacher, problems = tmp_path / "teacher", tmp_path / "problems"
    model.save_pretrained(teacher)
    tokenizer.save_pretrained(teacher)
    problems.mkdir()
    table = pd.DataFrame({"id": list("abc"), "problem": ["1+1?", "1+2?", "1+3?"], "answer": ["7777"] * 3})
    table.to_parquet(problems / "problems.parquet")
    settings = TracesSettings(engine="hf", max_tries=2, max_new_tokens=4, batch_size=2, resume_problems=2)
    progress: list[tuple[int, int]] = []
    context = replace(
        local_context(settings, {"teacher": teacher, "problems": problems}, tmp_path / "out"),
        progress=lambda done, total: progress.append((done, total)),
    )
    with pytest.raises(UserError, match=f"teacher {teacher}: none of its 6 responses to 3 problems ends.*stronger"):
        run(context)
    assert progress == [(n, 6) for n in (2, 2, 3, 3, 5, 5, 6, 6)]  # of each batch, and of each chunk

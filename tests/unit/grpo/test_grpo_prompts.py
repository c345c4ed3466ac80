from pathlib import Path

import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.grpo.prompts import write_prompts
from rlgen_k8s.stages.grpo.reward import compute_score
from rlgen_k8s.stages.grpo.settings import GrpoSettings

TEMPLATE = "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "user": 1, "a": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", chat_template=TEMPLATE)
    tokenizer.save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, head_dim=8
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def _problems(folder: Path, rows: list[tuple[str, str]]) -> Path:
    pd.DataFrame(rows, columns=["problem", "answer"]).to_parquet(folder / "problems.parquet")
    return folder


def test_prompts_are_the_problems_and_carry_the_gold_answer(tmp_path: Path, base: Path) -> None:
    problems = _problems(tmp_path, [("what is one and two", "3"), ("half", r"\frac12")])
    assert write_prompts(problems, base, GrpoSettings(), tmp_path / "out.parquet") == 2
    rows = pd.read_parquet(tmp_path / "out.parquet").to_dict("records")
    assert [list(row["prompt"]) for row in rows] == [
        [{"role": "user", "content": "what is one and two"}],
        [{"role": "user", "content": "half"}],
    ]
    assert compute_score("So it is 0.5", rows[1]["reward_model"]["ground_truth"], data_source="problems") == 1.0
    assert compute_score("So it is 3", rows[1]["reward_model"]["ground_truth"], data_source="problems") == 0.0


def test_longer_prompts_are_left_out(tmp_path: Path, base: Path) -> None:
    problems = _problems(tmp_path, [("a b c d", "1"), ("a b c d e", "2")])
    settings = GrpoSettings(prompt_tokens=5)  # the template adds the word "user"
    assert write_prompts(problems, base, settings, tmp_path / "out.parquet") == 1
    with pytest.raises(UserError, match="prompt_tokens 2"):
        write_prompts(problems, base, GrpoSettings(prompt_tokens=2), tmp_path / "out.parquet")


def test_a_seed_draws_the_same_problems_again_and_another_seed_others(tmp_path: Path, base: Path) -> None:
    problems = _problems(tmp_path, [(f"problem {n}", str(n)) for n in range(100)])
    drawn = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        settings = GrpoSettings(max_problems=10, seed=seed)
        assert write_prompts(problems, base, settings, tmp_path / "out.parquet") == 10
        rows = pd.read_parquet(tmp_path / "out.parquet")
        drawn[name] = [answer["ground_truth"] for answer in rows["reward_model"]]
    assert drawn["first"] == drawn["again"] != drawn["other"]


def test_problems_without_answers_are_refused_by_column(tmp_path: Path, base: Path) -> None:
    pd.DataFrame({"problem": ["a"]}).to_parquet(tmp_path / "problems.parquet")
    with pytest.raises(UserError, match="'answer'"):
        write_prompts(tmp_path, base, GrpoSettings(), tmp_path / "out.parquet")

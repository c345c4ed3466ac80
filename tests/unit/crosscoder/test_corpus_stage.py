import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from transformers import PreTrainedTokenizerFast

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.corpus.run import run
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.frame.context import local_context

CONVERSATIONS = "open-thoughts/OpenThoughts-114k"
TEXT = "togethercomputer/RedPajama-Data-1T-Sample"
SIZES = {"conversation_tokens": 4096, "text_tokens": 2048, "evaluation_tokens": 1024, "length": 32}


def make(mirror: Path, base: Path, out: Path, **changes: Any) -> Path:
    run(local_context(CorpusSettings(**{**SIZES, **changes}), {"mirror": mirror, "base": base}, out))
    return out


def texts_of(tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The pieces of documents between separators, over all sequences."""
    return [piece for row in tokens for piece in tokenizer.decode(row).split("<|endoftext|>") if piece]


def test_budgets_length_and_counts_are_kept(corpus: Path) -> None:
    train, evaluation, info = open_tokens(corpus, "train"), open_tokens(corpus, "evaluation"), load_corpus_info(corpus)
    assert train.shape == ((4096 + 2048) // 32, 32)
    assert evaluation.shape == (1024 // 32, 32)
    assert info.sequences == {"evaluation": {CONVERSATIONS: 16, TEXT: 16}, "train": {CONVERSATIONS: 128, TEXT: 64}}
    assert (train[:, 0] == info.separator).all()
    assert (evaluation[:, 0] == info.separator).all()


def test_every_piece_is_a_piece_of_a_real_document_and_sources_are_mixed(
    corpus: Path, mirror: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    chats = pd.read_parquet(mirror / CONVERSATIONS / "train.parquet")["conversations"]
    whole = {
        f"<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\n{chat[0]['value']}<|im_end|>\n"
        f"<|im_start|>assistant\n{chat[1]['value']}<|im_end|>\n"
        for chat in chats
    } | set(pd.read_parquet(mirror / TEXT / "train.parquet")["text"])
    everything = "\0".join(whole)
    pieces = texts_of(open_tokens(corpus, "train"), tokenizer)
    assert all(piece in everything for piece in pieces)
    assert sum(piece in whole for piece in pieces) > 5
    is_chat = ["<|im_" in tokenizer.decode(row) for row in open_tokens(corpus, "train")]
    assert 0.4 < np.mean(is_chat[: len(is_chat) // 2]) < 0.9
    assert 0.4 < np.mean(is_chat[len(is_chat) // 2 :]) < 0.9


def test_no_document_is_in_both_shards(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    def numbers(shard: str) -> set[str]:
        """Each document repeats a number of its own, whole wherever these patterns match."""
        text = "|".join(texts_of(open_tokens(corpus, shard), tokenizer))
        return set(re.findall(r"What is \d+ plus|Story \d+ of", text))

    assert len(numbers("evaluation")) > 10
    assert len(numbers("train")) > 10
    assert not numbers("evaluation") & numbers("train")


def test_the_seed_decides_everything(
    corpus: Path, mirror: Path, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    same = make(mirror, model_folders["base"], tmp_path / "same")
    other = make(mirror, model_folders["base"], tmp_path / "other", seed=1)
    assert load_corpus_info(same).digest == load_corpus_info(corpus).digest
    assert load_corpus_info(other).digest != load_corpus_info(corpus).digest


def test_a_source_smaller_than_its_budget_is_used_up(
    mirror: Path, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    out = make(mirror, model_folders["base"], tmp_path / "out", conversation_tokens=0, text_tokens=10_000_000)
    used = load_corpus_info(out).sequences["train"]
    assert list(used) == [TEXT]
    assert 100 < used[TEXT] < 10_000_000 // 32
    assert len(open_tokens(out, "train")) == used[TEXT]


def broken_mirror(root: Path, rows: list[dict[str, Any]]) -> Path:
    folder = root / CONVERSATIONS
    folder.mkdir(parents=True)
    columns = None if rows else ["conversations"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "train.parquet")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.parquet\n---\n"
    (folder / "README.md").write_text(card)
    return root


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        ([{"text": "a"}], "has no column conversations"),
        ([{"conversations": [{"from": "robot", "value": "hi"}]}], "speaker robot"),
        ([{"conversations": [{"from": "user", "value": "hi"}]}], "too small"),
    ],
)
def test_bad_data_is_named(
    model_folders: dict[str, Path], tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(broken_mirror(tmp_path / "mirror", rows), model_folders["base"], tmp_path / "out", text_tokens=0)


@pytest.mark.parametrize("changes", [{"length": 8192}, {"evaluation_tokens": 40}])
def test_contradictory_sizes_name_the_field(changes: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        CorpusSettings(**{**SIZES, **changes})

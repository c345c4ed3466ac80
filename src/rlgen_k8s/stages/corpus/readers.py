"""Models that are to read a corpus must know its text as the corpus does, and as each other does."""

from collections.abc import Mapping
from pathlib import Path

from rlgen_k8s.crosscoder.stream import check_same_text
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.stages.corpus.packed import CorpusInfo, vocabulary_digest


def check_readers(folders: Mapping[str, Path], corpus: CorpusInfo) -> None:
    """Raise `UserError`, naming the first model that does not fit, unless all in `folders` read the same text."""
    tokenizers = {name: load_tokenizer(folder) for name, folder in folders.items()}
    for name, folder in folders.items():
        if vocabulary_digest(tokenizers[name]) != corpus.vocabulary:
            raise UserError(
                f"model {name} ({folder}): its tokenizer's vocabulary is not that of the corpus, so the same ids mean "
                "other text; use models of one base model, or make the corpus with this tokenizer"
            )
    check_same_text(tokenizers)

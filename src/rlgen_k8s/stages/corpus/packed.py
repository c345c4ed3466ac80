"""A corpus as the stages after it read it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlgen_k8s.crosscoder.data import Shard

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILES: dict[Shard, str] = {"train": "tokens.npy", "evaluation": "evaluation.npy"}


@dataclass(frozen=True)
class CorpusInfo:
    """`corpus.json`."""

    length: int
    separator: int
    """Token id; see `packing` for the rule."""
    rule: str
    vocabulary: str
    """Digest of the tokenizer's vocabulary."""
    seed: int
    sequences: dict[str, dict[str, int]]
    """Per shard, per source: sequences of `length` tokens."""
    digest: str
    """SHA-256 of the two token files."""

    def save(self, folder: Path) -> None:
        """Write `corpus.json`."""
        (folder / "corpus.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_corpus_info(folder: Path) -> CorpusInfo:
    """Read `corpus.json`."""
    return CorpusInfo(**json.loads((folder / "corpus.json").read_text()))


def open_tokens(folder: Path, shard: Shard) -> np.ndarray:
    """Memory-mapped int32 [n_sequences, length]."""
    tokens: np.ndarray = np.load(folder / FILES[shard], mmap_mode="r")
    return tokens


def tokens_digest(folder: Path) -> str:
    """SHA-256 over the token files of both shards."""
    digest = hashlib.sha256()
    for name in FILES.values():
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def vocabulary_digest(tokenizer: "PreTrainedTokenizerBase") -> str:
    """SHA-256 of the token-to-id table: equal when the same ids mean the same text, however the files are written."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()

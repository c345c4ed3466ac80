"""Documents cut and joined into sequences of one length, written as they come.

Every sequence starts with the separator, and every document is preceded by it; nothing is padded, and what does not
fill a last sequence is left out. The separator is the tokenizer's BOS if it has one, else its padding token (Qwen's
`<|endoftext|>`), else EOS. Its activations are those of an attention sink, not of text, so harvests leave them out.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlgen_k8s.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RULE = (
    "each sequence starts with the separator, each document is preceded by it, no padding; "
    "the separator's activations are not harvested"
)


def separator_of(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The id of the separator. Raises `UserError` if the tokenizer has none of the three tokens."""
    for token in (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UserError("tokenizer: has no BOS, padding or EOS token to separate documents with; give it one")


def pack(
    documents: Iterator[np.ndarray],
    path: Path,
    *,
    n_sequences: int,
    length: int,
    separator: int,
    on_rows: Callable[[int], None],
) -> int:
    """Write up to `n_sequences` sequences as raw int32 [n, length] to `path`; returns how many there were.

    Takes no more documents than it needs; the rest of the last one is dropped. `on_rows(n)` reports rows written.
    """
    body, written = length - 1, 0
    pending: list[np.ndarray] = []
    waiting = 0
    with path.open("wb") as file:
        while written < n_sequences and (document := next(documents, None)) is not None:
            if len(document) and document[0] == separator:  # some chat templates write BOS themselves
                document = document[1:]
            pending += [np.array([separator], dtype=np.int32), document]
            waiting += 1 + len(document)
            if waiting < body:
                continue
            stream = np.concatenate(pending)
            rows = min(len(stream) // body, n_sequences - written)
            sequences = np.full((rows, length), separator, dtype=np.int32)
            sequences[:, 1:] = stream[: rows * body].reshape(rows, body)
            sequences.tofile(file)
            pending = [stream[rows * body :]]
            waiting = len(pending[0])
            written += rows
            on_rows(rows)
    return written


def join_shuffled(parts: list[Path], out: Path, *, length: int, seed: int) -> int:
    """All rows of the raw files `parts` in one seeded order, as `out` (.npy, int32 [n, length]); returns n."""
    sources = [np.memmap(part, dtype=np.int32, mode="r").reshape(-1, length) for part in parts if part.stat().st_size]
    starts = np.cumsum([0, *(len(source) for source in sources)])
    total = int(starts[-1])
    order = np.random.default_rng(seed).permutation(total)
    joined = np.lib.format.open_memmap(out, mode="w+", dtype=np.int32, shape=(total, length))
    step = 65536
    for start in range(0, total, step):
        rows = order[start : start + step]
        block = joined[start : start + step]
        for source, first in zip(sources, starts, strict=False):
            here = (rows >= first) & (rows < first + len(source))
            block[here] = source[rows[here] - first]
    joined.flush()
    return total

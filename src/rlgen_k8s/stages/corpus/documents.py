"""The two sources as documents: token ids, in a seeded order, without a separator."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.hub import load_set

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONVERSATIONS = "open-thoughts/OpenThoughts-114k"
TEXT = "togethercomputer/RedPajama-Data-1T-Sample"
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
ROWS_AT_ONCE = 256


def documents(
    mirror: Path, name: str, tokenizer: "PreTrainedTokenizerBase", *, seed: int, scratch: Path
) -> Iterator[np.ndarray]:
    """Each document of the set `name` once, as int32 ids: conversations through the chat template, text as it is.

    Raises `UserError` for a set that cannot be loaded, a missing column or an unknown speaker.
    """
    rows = load_set(mirror, name, split="train", scratch=scratch)
    wanted = {"conversations"} if name == CONVERSATIONS else {"text"}
    if missing := wanted - set(rows.column_names):
        raise UserError(f"data set {name}: has no column {missing.pop()} (has {', '.join(rows.column_names)})")
    order = np.random.default_rng(seed).permutation(len(rows))
    for start in range(0, len(order), ROWS_AT_ONCE):
        batch = rows[order[start : start + ROWS_AT_ONCE]]
        texts = _conversation_texts(batch, tokenizer) if name == CONVERSATIONS else batch["text"]
        # The chat template writes its own special tokens, and packing writes the separators.
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            yield np.asarray(ids, dtype=np.int32)


def _conversation_texts(batch: dict[str, list[Any]], tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    systems = batch.get("system") or [None] * len(batch["conversations"])
    chats = []
    for system, turns in zip(systems, batch["conversations"], strict=True):
        chat = [{"role": "system", "content": system}] if system else []
        for turn in turns:
            if turn["from"] not in ROLES:
                raise UserError(f"data set {CONVERSATIONS}: speaker {turn['from']}: expected one of {', '.join(ROLES)}")
            chat.append({"role": ROLES[turn["from"]], "content": turn["value"]})
        chats.append(chat)
    return cast("list[str]", tokenizer.apply_chat_template(chats, tokenize=False))

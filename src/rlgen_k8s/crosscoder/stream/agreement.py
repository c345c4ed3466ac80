"""Models of one crosscoder must have read the same text: the same tokens, and conversations in the same form."""

import json
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlgen_k8s.errors import UserError


def check_same_text(tokenizers: Mapping[str, PreTrainedTokenizerBase]) -> None:
    """Raise `UserError`, naming the first model that differs from the first one, unless all tokenize alike.

    Compared: the vocabulary (ids mean the same text), how text is cut (normalizer, pre-tokenizer, merges), and the chat
    template. What only concerns batches, such as padding, may differ.
    """
    (first, expected), *others = ((name, _traits(tokenizer)) for name, tokenizer in tokenizers.items())
    for name, traits in others:
        for trait, value in traits.items():
            if value != expected[trait]:
                raise UserError(
                    f"model {name}: its tokenizer's {trait} is not that of {first}, so a position in the text is not "
                    "the same to both; use models of one base model, trained in one chat format"
                )


def _traits(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {
        "vocabulary": tokenizer.get_vocab(),
        "way to cut text": [rules["normalizer"], rules["pre_tokenizer"], rules["model"].get("merges")],
        "chat template": tokenizer.chat_template,
    }

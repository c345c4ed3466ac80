"""Load a Hugging Face model or tokenizer from a folder, with errors that name what is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING

from rlgen_k8s.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_model_folder(folder: Path) -> None:
    """Raise `UserError` unless `folder` holds a Hugging Face model: configuration, weights, tokenizer."""
    if not folder.is_dir():
        raise UserError(f"model folder {folder}: not a folder; give one in Hugging Face format")
    wanted = {"config.json": ["config.json"], "weights": ["*.safetensors"], "a tokenizer": ["tokenizer.json"]}
    for what, patterns in wanted.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise UserError(f"model folder {folder}: has no {what} ({patterns[0]}); give one in Hugging Face format")


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in `folder`, padding on the left. Raises `UserError` if it has no chat template."""
    from transformers import AutoTokenizer

    check_model_folder(folder)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if not tokenizer.chat_template:
        raise UserError(
            f"tokenizer in {folder}: has no chat template, which training and evaluation need; "
            "add `chat_template.jinja` or `chat_template` in tokenizer_config.json"
        )
    return tokenizer


def load_model(folder: Path, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """The causal language model in `folder`, in evaluation mode; `dtype` None keeps the saved precision."""
    from transformers import AutoModelForCausalLM

    check_model_folder(folder)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or "auto")
    model.eval()
    return model

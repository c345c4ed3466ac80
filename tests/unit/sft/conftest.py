"""A micro model with random weights, and its tokenizer."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerFast":
    from rlgen_k8s.stages.model.tokenizer import train_tokenizer

    return train_tokenizer(["one two three four", "What is 1+1? It is 2."], vocabulary=300)


@pytest.fixture(scope="session")
def model(tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedModel":
    """Its weights are large enough for responses that depend on the prompt."""
    import torch

    from rlgen_k8s.stages.model.pretrain import create_model
    from rlgen_k8s.stages.model.settings import ModelSettings

    torch.manual_seed(1)
    made = create_model(ModelSettings(layers=2, width=32), tokenizer)
    with torch.no_grad():
        for weights in made.parameters():
            if weights.ndim == 2:
                weights.normal_(std=0.3)
    return made.eval()

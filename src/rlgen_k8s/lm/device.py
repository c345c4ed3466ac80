"""A model's stay on a device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def on_device(model: PreTrainedModel, device: torch.device | str) -> Iterator[None]:
    """Inside, `model` is on `device`; then it is what it was, with nothing copied back.

    Weights that are a file's pages stay so, and processes that loaded one file keep sharing them.
    """
    tensors = [*model.parameters(), *model.buffers()]
    in_memory = [tensor.data for tensor in tensors]
    for tensor, data in zip(tensors, in_memory, strict=True):
        tensor.data = data.to(device)
    try:
        yield
    finally:
        for tensor, data in zip(tensors, in_memory, strict=True):
            tensor.data = data

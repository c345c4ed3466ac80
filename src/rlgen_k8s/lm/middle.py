"""The residual stream at the middle layer: read it (the forward stops there) or edit it.

The middle layer is `n_layers // 2` counted from 1: Hugging Face's `hidden_states[n_layers // 2]`, the output of
`layers[n_layers // 2 - 1]`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlgen_k8s.errors import UserError


class _Stop(Exception):  # noqa: N818 - not an error: the forward has gone as far as is needed
    """Raised inside the middle block's hook; carries the residual stream out of the forward."""

    def __init__(self, stream: Tensor) -> None:
        super().__init__()
        self.stream = stream


def middle_layer(model: PreTrainedModel) -> int:
    """The index of the middle layer, as in `hidden_states[index]`. Raises `UserError` for a one-layer model."""
    n_layers = int(model.config.num_hidden_layers)
    if n_layers < 2:
        raise UserError(f"model with {n_layers} layer: a middle layer needs at least 2; give a deeper model")
    return n_layers // 2


def middle_block(model: PreTrainedModel) -> nn.Module:
    """The decoder block whose output is the residual stream at `middle_layer(model)`."""
    block: nn.Module = model.get_decoder().layers[middle_layer(model) - 1]
    return block


def residual_stream(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """The residual stream [batch, length, d] after the middle block; blocks above it and the head are not run.

    Bit-identical to `model(..., output_hidden_states=True).hidden_states[middle_layer(model)]`. `input_ids` and
    `attention_mask`: [batch, length]. Wrap in `torch.inference_mode()` when no gradient is wanted.
    """

    def stop(_block: nn.Module, _inputs: Any, output: Any) -> None:
        raise _Stop(_stream_of(output))

    handle = middle_block(model).register_forward_hook(stop)
    try:
        model.get_decoder()(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
    except _Stop as stopped:
        return stopped.stream
    finally:
        handle.remove()
    raise RuntimeError(f"{type(model).__name__}: the forward did not pass through the middle block")


def drop_upper_half(model: PreTrainedModel) -> None:
    """Free the blocks above the middle and the head: only `residual_stream` works on `model` afterwards, as before."""
    decoder = model.get_decoder()
    decoder.layers = decoder.layers[: middle_layer(model)]
    if model.get_output_embeddings() is not None:
        model.set_output_embeddings(nn.Identity())


@contextmanager
def edit_residual(model: PreTrainedModel, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the context every forward of `model` goes on from `edit(stream)`, [batch, length, d] to the same shape.

    With a key-value cache, `edit` sees only the new positions of each call.
    """

    def replace(_block: nn.Module, _inputs: Any, output: Any) -> Any:
        edited = edit(_stream_of(output))
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    handle = middle_block(model).register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def _stream_of(output: Any) -> Tensor:
    """Blocks return the stream itself, or (in older releases) a tuple that starts with it."""
    stream = output[0] if isinstance(output, tuple) else output
    assert isinstance(stream, torch.Tensor)
    return stream

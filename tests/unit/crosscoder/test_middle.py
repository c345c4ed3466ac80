from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.middle import drop_upper_half, edit_residual, middle_block, middle_layer, residual_stream

FAMILIES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}


def build(family: str, n_layers: int = 5) -> PreTrainedModel:
    config, model = FAMILIES[family]
    torch.manual_seed(0)
    return model(
        config(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=n_layers,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
    ).eval()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_layers", [2, 4, 5])
def test_stream_equals_output_hidden_states_bit_for_bit(family: str, dtype: torch.dtype, n_layers: int) -> None:
    model = build(family, n_layers).to(dtype)
    ids = torch.randint(97, (3, 11))
    for mask in (None, torch.tensor([[0] * 4 + [1] * 7, [1] * 11, [0] * 2 + [1] * 9])):
        with torch.inference_mode():
            whole = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
            stream = residual_stream(model, ids, mask)
        assert torch.equal(stream, whole.hidden_states[n_layers // 2])


def test_layers_above_the_middle_are_not_run() -> None:
    model = build("qwen3")
    ran: list[int] = []
    for index, block in enumerate(model.model.layers):
        block.register_forward_pre_hook(lambda *_args, index=index: ran.append(index))
    residual_stream(model, torch.randint(97, (1, 4)))
    assert ran == [0, 1]


def test_a_model_without_its_upper_half_is_smaller_and_has_the_same_stream() -> None:
    model = build("llama")
    ids = torch.randint(97, (2, 6))
    stream, parameters = residual_stream(model, ids), model.num_parameters()
    drop_upper_half(model)
    assert torch.equal(residual_stream(model, ids), stream)
    assert model.num_parameters() < 0.6 * parameters


def test_model_is_whole_again_after_reading_its_stream() -> None:
    model = build("llama")
    ids = torch.randint(97, (2, 6))
    before = model(ids).logits
    residual_stream(model, ids)
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("family", FAMILIES)
def test_identity_edit_changes_nothing_and_an_added_direction_arrives_downstream(family: str) -> None:
    model = build(family)
    ids = torch.randint(97, (2, 6))
    before = model(ids, output_hidden_states=True)

    with edit_residual(model, lambda stream: stream):
        assert torch.equal(model(ids).logits, before.logits)
    arrived: list[Tensor] = []
    next_block = model.model.layers[middle_layer(model)]
    next_block.register_forward_pre_hook(lambda _block, inputs: arrived.append(inputs[0]))
    with edit_residual(model, lambda stream: stream + torch.arange(32.0)):
        edited = model(ids)
    assert torch.equal(arrived[0], before.hidden_states[middle_layer(model)] + torch.arange(32.0))
    assert not torch.allclose(edited.logits, before.logits, atol=1e-3)
    assert torch.equal(model(ids).logits, before.logits)


def test_edit_holds_while_generating_with_a_cache() -> None:
    model = build("qwen3")
    seen: list[int] = []

    def edit(stream: Tensor) -> Tensor:
        seen.append(stream.shape[1])
        return stream

    with edit_residual(model, edit):
        model.generate(torch.randint(1, 97, (1, 5)), max_new_tokens=3, min_new_tokens=3, do_sample=False)
    assert seen == [5, 1, 1]


def test_blocks_that_return_tuples_are_read_and_edited_alike() -> None:
    """Older releases of transformers return (stream, ...) from a block."""

    class TupleBlock(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *args: object, **kwargs: object) -> tuple[Tensor, str]:
            return (self.inner(*args, **kwargs), "extra")

    class FirstOf(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, stream: tuple[Tensor, str], **kwargs: object) -> Tensor:
            assert stream[1] == "extra"
            return self.inner(stream[0], **kwargs)

    model = build("qwen3", 4)
    ids = torch.randint(97, (2, 6))
    shift: Callable[[Tensor], Tensor] = lambda stream: stream * 1.5  # noqa: E731
    stream = residual_stream(model, ids)
    with edit_residual(model, shift):
        edited = model(ids).logits
    layers = model.model.layers
    layers[1], layers[2] = TupleBlock(layers[1]), FirstOf(layers[2])
    assert isinstance(middle_block(model), TupleBlock)
    assert torch.equal(residual_stream(model, ids), stream)
    with edit_residual(model, shift):
        assert torch.equal(model(ids).logits, edited)


def test_one_layer_model_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2"):
        middle_layer(build("qwen2", 1))

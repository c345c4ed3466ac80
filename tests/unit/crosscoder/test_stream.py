"""The batches themselves: held against full forward passes, against a harvest, and from any step on."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.crosscoder import open_joint
from rlgen_k8s.crosscoder.data import StoredDtype
from rlgen_k8s.crosscoder.stream import (
    LiveActivations,
    PackedTokens,
    Recipe,
    StoredActivations,
    Stream,
    check_same_text,
)
from rlgen_k8s.crosscoder.stream.scales import estimate_scales
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.harvest.run import run as run_harvest
from rlgen_k8s.stages.harvest.settings import HarvestSettings

FORWARD = 10
RECIPE = Recipe(batch=256, epochs=2, seed=5, block=4, scale_units=3, corpus="c")


@pytest.fixture(scope="module")
def models(model_folders: dict[str, Path]) -> dict[str, PreTrainedModel]:
    return {name: load_model(folder) for name, folder in model_folders.items()}


@pytest.fixture(scope="module")
def text(corpus: Path) -> PackedTokens:
    return PackedTokens(open_tokens(corpus, "train"), load_corpus_info(corpus).separator, FORWARD)


@pytest.fixture(scope="module")
def live(models: dict[str, PreTrainedModel], text: PackedTokens) -> Callable[..., Stream]:
    def build(dtype: StoredDtype = "float32", **options: Any) -> Stream:
        return Stream(LiveActivations(models, text, dtype), RECIPE, **options)

    return build


def collect(stream: Stream, first: int = 0) -> list[Tensor]:
    return [batch.clone() for batch in stream.batches(first)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batches_are_the_scaled_hidden_states_of_the_drawn_tokens(
    live: Callable[..., Stream], models: dict[str, PreTrainedModel], text: PackedTokens, dtype: StoredDtype
) -> None:
    stream = live(dtype)
    columns = []
    for model, scale in zip(models.values(), stream.scales, strict=True):
        rows = []
        for start in range(0, len(text.ids), FORWARD):
            ids = torch.from_numpy(text.ids[start : start + FORWARD].astype(np.int64))
            with torch.inference_mode():
                states = model(ids, output_hidden_states=True).hidden_states[2]
            rows += [states[i, j] for i in range(len(ids)) for j in range(ids.shape[1]) if ids[i, j] != text.separator]
        columns.append(torch.stack(rows).to(getattr(torch, dtype)).float() * scale)
    tokens = torch.cat(columns, dim=1)
    draws = torch.cat([torch.from_numpy(stream.order.rows(b)) for epoch in (0, 1) for b in stream.order.blocks(epoch)])
    batches = collect(stream)
    assert torch.equal(torch.cat(batches), tokens[draws])
    full, rest = divmod(len(tokens), 256)
    assert [len(batch) for batch in batches] == ([256] * full + [rest]) * 2
    assert len(batches) == stream.order.total_steps


@pytest.mark.parametrize("first", [1, 7, 22, 23, 40])
def test_from_any_step_on_the_batches_are_the_same_bits(live: Callable[..., Stream], first: int) -> None:
    whole, rest = collect(live()), collect(live(), first)
    assert len(rest) == len(whole) - first
    assert all(torch.equal(a, b) for a, b in zip(whole[first:], rest, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_harvest_gives_the_same_bits_as_running_models(
    live: Callable[..., Stream],
    corpus: Path,
    model_folders: dict[str, Path],
    text: PackedTokens,
    tmp_path: Path,
    dtype: StoredDtype,
) -> None:
    settings = HarvestSettings(dtype=dtype, batch=FORWARD)
    run_harvest(local_context(settings, {"corpus": corpus, **model_folders}, tmp_path / "out"))
    stored = open_joint({name: tmp_path / "out" / name for name in model_folders}, "train")
    running, read = live(dtype), Stream(StoredActivations(stored, text, dtype), RECIPE)
    assert read.scales == running.scales
    assert all(torch.equal(a, b) for a, b in zip(collect(running), collect(read), strict=True))


def test_models_stay_on_the_device_as_far_as_there_is_room_and_the_others_take_turns(
    models: dict[str, PreTrainedModel], text: PackedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: set[int] = set()
    moves = []

    @contextmanager
    def on_device(model: PreTrainedModel, _device: str) -> Iterator[None]:
        there.add(id(model))
        moves.append(len(there))
        yield
        there.remove(id(model))

    monkeypatch.setattr("rlgen_k8s.crosscoder.stream.sources.on_device", on_device)
    size = sum(tensor.nbytes for tensor in (*models["base"].parameters(), *models["base"].buffers()))
    for room, arrivals in ((0.0, [1] * 6), (1.5 * size, [1, 2, 2, 2, 2]), (3.0 * size, [1, 2, 3])):
        source = LiveActivations(models, text, "float32")
        source.room = room
        for unit in (0, 1):
            for model in range(3):
                for _ in range(2):
                    source.activations(model, unit)
        assert moves == arrivals
        moves.clear()
        there.clear()


def test_buffer_holds_no_more_than_it_says(live: Callable[..., Stream], text: PackedTokens) -> None:
    stream = live("bfloat16")
    held = [tensor for tensor in vars(stream).values() if isinstance(tensor, Tensor)]
    used = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert used <= 4 * FORWARD * 31 * 3 * 32 * 2 + 3 * 32 * 4


def test_scales_are_root_d_over_the_mean_norm_of_the_first_units(
    models: dict[str, PreTrainedModel], text: PackedTokens
) -> None:
    source = LiveActivations(models, text, "float32")
    for m, scale in enumerate(estimate_scales(source, 3)):
        norms = [float(row.double().norm()) for unit in range(3) for row in source.activations(m, unit)]
        assert scale == pytest.approx(32**0.5 / np.mean(norms), rel=1e-6)
    everything = np.array(estimate_scales(source, 1000))
    assert np.array(estimate_scales(source, 3)) == pytest.approx(everything, rel=0.02)


def test_given_scales_are_used(live: Callable[..., Stream]) -> None:
    stream = live(scales=(2.0, 1.0, 0.5))
    assert stream.token_set(("rl", "base")).scales == (0.5, 2.0)
    ratio = next(stream.batches()) / next(live(scales=(1.0, 1.0, 1.0)).batches())
    assert torch.equal(ratio.unique(), torch.tensor([0.5, 1.0, 2.0]))


def test_a_model_that_diverged_is_named(text: PackedTokens, model_folders: dict[str, Path]) -> None:
    broken = load_model(model_folders["sft"])
    broken.get_input_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="model sft: mean norm of its activations is nan"):
        Stream(LiveActivations({"sft": broken}, text, "float32"), RECIPE)


def test_models_of_different_widths_are_refused(text: PackedTokens, models: dict[str, PreTrainedModel]) -> None:
    wide = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=320,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
    )
    with pytest.raises(UserError, match=r"base 32, wide 48\): must be one"):
        LiveActivations({"base": models["base"], "wide": wide}, text, "float32")


def test_a_harvest_of_another_text_and_an_unknown_model_are_refused(
    live: Callable[..., Stream], text: PackedTokens
) -> None:
    from rlgen_k8s.crosscoder import JointActivations

    stored = JointActivations(("a",), (torch.zeros(7, 4),), (1.0,))
    with pytest.raises(UserError, match="a: 7 tokens stored, but the text has"):
        StoredActivations(stored, text, "float32")
    with pytest.raises(UserError, match="stream model copy: not one of base, sft, rl"):
        live().token_set(("base", "copy"))


def test_tokenizers_that_differ_in_what_makes_text_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    def changed(edit: Callable[[dict[str, Any]], None]) -> PreTrainedTokenizerFast:
        from tokenizers import Tokenizer

        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        edit(rules)
        other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(rules)))
        other.chat_template = tokenizer.chat_template
        return other

    same = changed(lambda rules: None)
    same.padding_side = "right"
    check_same_text({"base": tokenizer, "same": same})

    def swap(rules: dict[str, Any]) -> None:
        vocabulary = rules["model"]["vocab"]
        vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]

    with pytest.raises(UserError, match="model sft: its tokenizer's vocabulary is not that of base"):
        check_same_text({"base": tokenizer, "sft": changed(swap)})
    with pytest.raises(UserError, match="model sft: its tokenizer's way to cut text"):
        check_same_text({"base": tokenizer, "sft": changed(lambda rules: rules["model"]["merges"].pop())})
    same.chat_template = "{{ messages }}"
    with pytest.raises(UserError, match="model rl: its tokenizer's chat template is not that of base"):
        check_same_text({"base": tokenizer, "rl": same})

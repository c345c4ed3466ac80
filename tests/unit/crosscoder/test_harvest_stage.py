import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.crosscoder import open_joint
from rlgen_k8s.crosscoder.data import load_info, open_shard
from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.corpus.packed import open_tokens
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.harvest.run import run
from rlgen_k8s.stages.harvest.settings import HarvestSettings


def harvest(corpus: Path, models: dict[str, Path], out: Path, **changes: Any) -> Path:
    run(local_context(HarvestSettings(**changes), {"corpus": corpus, **models}, out))
    return out


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_are_the_hidden_states_of_all_but_separators_in_reading_order(
    corpus: Path, model_folders: dict[str, Path], tmp_path: Path, dtype: str
) -> None:
    models = {"base": model_folders["base"], "5": model_folders["rl"]}
    out = harvest(corpus, models, tmp_path / "out", dtype=dtype, batch=50)
    for name, folder in models.items():
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        for shard in ("train", "evaluation"):
            tokens = torch.from_numpy(open_tokens(corpus, shard).astype(np.int64))
            with torch.inference_mode():
                states = model(tokens, output_hidden_states=True).hidden_states[2]
            stored = open_shard(out / name, shard)
            expected = states[tokens != 0]
            assert stored.dtype == getattr(torch, dtype)
            assert stored.shape == expected.shape
            torch.testing.assert_close(stored.float(), expected, rtol=1e-2 if dtype == "bfloat16" else 1e-4, atol=1e-5)


def test_scaled_activations_have_mean_norm_root_d(corpus: Path, model_folders: dict[str, Path], tmp_path: Path) -> None:
    out = harvest(corpus, model_folders, tmp_path / "out")
    data = open_joint({name: out / name for name in model_folders}, "train")
    x = torch.cat([chunk.clone() for chunk in data.chunks(1000)]).view(-1, 3, 32)
    assert x.norm(dim=2).mean(dim=0).tolist() == pytest.approx([32**0.5] * 3, rel=1e-3)
    assert {load_info(out / name).layer for name in model_folders} == {2}


def test_a_scale_is_that_of_the_first_sequences(corpus: Path, model_folders: dict[str, Path], tmp_path: Path) -> None:
    base = {"base": model_folders["base"]}
    out = harvest(corpus, base, tmp_path / "out", batch=10, scale_sequences=15) / "base"
    first = open_tokens(corpus, "train")[:20]  # in whole forward passes
    rows = open_shard(out, "train")[: int((first != 0).sum())].double()
    assert load_info(out).scale == pytest.approx(32**0.5 / float(rows.norm(dim=1).mean()), rel=1e-6)
    assert (load_info(out).unit, load_info(out).scale_units) == (10, 2)


def test_a_model_with_another_vocabulary_is_refused(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    config = Qwen3Config.from_pretrained(model_folders["base"])
    Qwen3ForCausalLM(config).save_pretrained(other)
    tokenizer.save_pretrained(other)
    spec = json.loads((other / "tokenizer.json").read_text())
    vocabulary = spec["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (other / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match=r"model other .* vocabulary is not that of the corpus"):
        harvest(corpus, {"base": model_folders["base"], "other": other}, tmp_path / "out")


def test_models_with_different_chat_templates_are_refused(
    corpus: Path, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(model_folders["sft"], other)
    (other / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(UserError, match="model other: its tokenizer's chat template is not that of base"):
        harvest(corpus, {"base": model_folders["base"], "other": other}, tmp_path / "out")


def test_a_model_that_diverged_is_refused(corpus: Path, model_folders: dict[str, Path], tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folders["base"])
    model.model.embed_tokens.weight.data.fill_(float("nan"))
    model.save_pretrained(tmp_path / "nan")
    for file in model_folders["base"].glob("*token*"):
        (tmp_path / "nan" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "nan" / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(UserError, match="mean norm of its activations is nan"):
        harvest(corpus, {"bad": tmp_path / "nan"}, tmp_path / "out")

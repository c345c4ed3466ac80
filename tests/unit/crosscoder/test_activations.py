from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlgen_k8s.crosscoder import JointActivations, open_joint
from rlgen_k8s.crosscoder.data import ActivationsInfo, ShardWriter, StoredDtype
from rlgen_k8s.errors import UserError

INFO = ActivationsInfo(
    scale=0.5,
    layer=2,
    width=6,
    dtype="bfloat16",
    train_tokens=100,
    evaluation_tokens=0,
    unit=4,
    scale_units=2,
    corpus="c" * 64,
)


def store(folder: Path, activations: torch.Tensor, dtype: StoredDtype, info: ActivationsInfo = INFO) -> Path:
    folder.mkdir()
    writer = ShardWriter(folder, "train", len(activations), activations.shape[1], dtype)
    for chunk in activations.split(33):
        writer.write(chunk)
    writer.close()
    info.save(folder)
    return folder


def normal(seed: int, rows: int = 100) -> torch.Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


def test_stored_rows_come_back_scaled_and_side_by_side(tmp_path: Path) -> None:
    a, b = normal(0), normal(1)
    folders = {
        "a": store(tmp_path / "a", a, "float32"),
        "b": store(tmp_path / "b", b, "bfloat16", replace(INFO, scale=3.0)),
    }
    data = open_joint(folders, "train")
    rows = torch.tensor([99, 0, 57, 57])
    x = data.fill(rows, torch.empty(10, 12))
    assert torch.equal(x, torch.cat([a[rows] * 0.5, b[rows].bfloat16().float() * 3.0], dim=1))
    assert (data.models, data.n_tokens, data.width) == (("a", "b"), 100, 6)


def test_chunks_give_every_row_once_in_order(tmp_path: Path) -> None:
    data = open_joint({"a": store(tmp_path / "a", normal(0), "float32")}, "train")
    assert torch.equal(torch.cat([chunk.clone() for chunk in data.chunks(32)]), normal(0) * 0.5)


def test_a_missing_row_is_noticed_before_the_shard_is_used(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "train", 10, 6, "float32")
    writer.write(normal(0, rows=9))
    with pytest.raises(AssertionError, match="9 rows written of 10"):
        writer.close()


def test_activations_of_different_corpora_are_refused(tmp_path: Path) -> None:
    folders = {
        "a": store(tmp_path / "a", normal(0), "float32"),
        "b": store(tmp_path / "b", normal(1), "float32", replace(INFO, corpus="d" * 64)),
    }
    with pytest.raises(UserError, match="different corpora"):
        open_joint(folders, "train")


def test_activations_of_different_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"a \(100, 6\), b \(90, 6\): must be of one shape"):
        JointActivations(("a", "b"), (normal(0), normal(1, rows=90)), (1.0, 1.0))


def test_a_folder_without_activations_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no activations\.json"):
        open_joint({"a": tmp_path}, "train")

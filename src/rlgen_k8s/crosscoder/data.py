"""Stored activations of several models on the same tokens, and the order in which training reads them.

A model's folder holds `train.npy` and `evaluation.npy`, [n_tokens, d], and `activations.json`. bfloat16, which NumPy
lacks, is stored as its bits (uint16). Files are memory-mapped: only what a batch touches is read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rlgen_k8s.errors import UserError

Shard = Literal["train", "evaluation"]
StoredDtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class ActivationsInfo:
    """`activations.json`: one model's part of a harvest."""

    scale: float
    """Multiplies raw activations so that their mean norm over the first `scale_units` units is √d."""
    layer: int
    """Index into `hidden_states`."""
    width: int
    dtype: StoredDtype
    train_tokens: int
    evaluation_tokens: int
    unit: int
    """Sequences of one forward pass: what a stream reads at once."""
    scale_units: int
    corpus: str
    """Digest of the corpus whose tokens these are; all models of a crosscoder must agree."""

    def tokens(self, shard: Shard) -> int:
        """Rows of a shard."""
        return self.train_tokens if shard == "train" else self.evaluation_tokens

    def save(self, folder: Path) -> None:
        """Write `activations.json`."""
        (folder / "activations.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_info(folder: Path) -> ActivationsInfo:
    """Read `activations.json`. Raises `UserError` if `folder` holds no activations."""
    path = folder / "activations.json"
    if not path.is_file():
        raise UserError(f"activations {folder}: has no activations.json; give one model's folder of a harvest")
    return ActivationsInfo(**json.loads(path.read_text()))


def open_shard(folder: Path, shard: Shard) -> Tensor:
    """A shard as a memory-mapped tensor [n_tokens, d], float32 or bfloat16, in raw units. Do not write to it."""
    # "c": private pages; torch has no read-only tensors and warns about read-only maps.
    stored = torch.from_numpy(np.load(folder / f"{shard}.npy", mmap_mode="c"))
    return stored.view(torch.bfloat16) if stored.dtype == torch.uint16 else stored


class ShardWriter:
    """Writes rows of a known number [n_tokens, d] one chunk after another into `<folder>/<shard>.npy`."""

    def __init__(self, folder: Path, shard: Shard, n_tokens: int, width: int, dtype: StoredDtype) -> None:
        self.dtype = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        stored = np.uint16 if dtype == "bfloat16" else np.float32
        self.map = np.lib.format.open_memmap(folder / f"{shard}.npy", mode="w+", dtype=stored, shape=(n_tokens, width))
        self.rows = 0

    def write(self, chunk: Tensor) -> None:
        """Append `chunk: [tokens, d]`."""
        chunk = chunk.to("cpu", self.dtype).contiguous()
        bits = chunk.view(torch.uint16) if self.dtype == torch.bfloat16 else chunk
        self.map[self.rows : self.rows + len(chunk)] = bits.numpy()
        self.rows += len(chunk)

    def close(self) -> None:
        """Flush; every announced row must have been written."""
        assert self.rows == len(self.map), f"{self.rows} rows written of {len(self.map)}"
        self.map.flush()


@dataclass(frozen=True)
class TokenSet:
    """What training has to know of tokens that a stream will bring: everything but the activations."""

    models: tuple[str, ...]
    scales: tuple[float, ...]
    width: int
    n_tokens: int


@dataclass(frozen=True)
class JointActivations:
    """The same tokens seen by M models: raw activations [n_tokens, d] and a scale for each model."""

    models: tuple[str, ...]
    raw: tuple[Tensor, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        shapes = {tuple(tensor.shape) for tensor in self.raw}
        if len(shapes) != 1:
            shown = ", ".join(
                f"{name} {tuple(tensor.shape)}" for name, tensor in zip(self.models, self.raw, strict=True)
            )
            raise UserError(f"activations [n_tokens, d] of {shown}: must be of one shape; harvest them on one corpus")

    @property
    def n_tokens(self) -> int:
        """Rows."""
        return self.raw[0].shape[0]

    @property
    def width(self) -> int:
        """d."""
        return self.raw[0].shape[1]

    def fill(self, rows: Tensor, out: Tensor) -> Tensor:
        """Scaled activations of `rows` (indices) side by side, in the first rows of `out: [≥ len(rows), M * d]`."""
        out = out[: len(rows)]
        for position, (tensor, scale) in enumerate(zip(self.raw, self.scales, strict=True)):
            columns = out[:, position * self.width : (position + 1) * self.width]
            columns.copy_(tensor.index_select(0, rows))
            columns.mul_(scale)
        return out

    def chunks(self, tokens: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
        """All rows in order, scaled, as [≤ tokens, M * d] float32; each chunk reuses the memory of the last."""
        out = torch.empty(tokens, len(self.models) * self.width, device=device)
        for start in range(0, self.n_tokens, tokens):
            yield self.fill(torch.arange(start, min(start + tokens, self.n_tokens)), out)


def open_joint(folders: Mapping[str, Path], shard: Shard) -> JointActivations:
    """Open one shard of several models' activations, in the order given.

    Raises `UserError` if they were harvested on different corpora or differ in shape.
    """
    infos = {model: load_info(folder) for model, folder in folders.items()}
    if len({info.corpus for info in infos.values()}) > 1:
        shown = ", ".join(f"{model} {info.corpus[:8]}" for model, info in infos.items())
        raise UserError(f"activations from different corpora ({shown}): rows are not the same tokens; harvest on one")
    return JointActivations(
        models=tuple(folders),
        raw=tuple(open_shard(folder, shard) for folder in folders.values()),
        scales=tuple(info.scale for info in infos.values()),
    )


def epoch_order(n_tokens: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch: a permutation of all rows [n_tokens] int64, the same for the same seed and epoch."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n_tokens))

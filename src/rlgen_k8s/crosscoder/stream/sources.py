"""Where a stream's activations come from: models that run, or what they left on disk; the bits are the same."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder.data import JointActivations, StoredDtype
from rlgen_k8s.crosscoder.stream.packed import PackedTokens
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.device import on_device
from rlgen_k8s.lm.middle import residual_stream


class Source(Protocol):
    """Raw activations of several models on one text, unit by unit."""

    models: tuple[str, ...]
    width: int
    dtype: torch.dtype
    kept: np.ndarray
    """int64 [n_units]: tokens of each unit."""

    def activations(self, model: int, unit: int) -> Tensor:
        """[kept[unit], d] in `dtype`: the tokens of a unit that are not separators, in reading order."""


class LiveActivations:
    """Runs each model to its middle layer on `device`, where one of them is at a time; the others wait in memory.

    A stream runs a model on a whole block before the next one, so moving it costs little beside many forwards. Where
    processes share a block each has few: models may stay, for as many bytes as `room` says.
    """

    def __init__(
        self,
        models: Mapping[str, PreTrainedModel],
        text: PackedTokens,
        dtype: StoredDtype,
        device: torch.device | str = "cpu",
    ) -> None:
        widths = {name: int(model.config.hidden_size) for name, model in models.items()}
        if len(set(widths.values())) != 1:
            shown = ", ".join(f"{name} {width}" for name, width in widths.items())
            raise UserError(f"widths of the residual streams ({shown}): must be one; use models of one base model")
        self.models, self.width = tuple(models), next(iter(widths.values()))
        self.dtype = getattr(torch, dtype)
        self.kept = text.kept
        self._all, self._text, self._device = list(models.values()), text, device
        self.room = 0.0
        self._staying: set[PreTrainedModel] = set()
        self._visitor: PreTrainedModel | None = None
        self._stay, self._visit = ExitStack(), ExitStack()

    @torch.inference_mode()
    def activations(self, model: int, unit: int) -> Tensor:
        """One forward pass."""
        running = self._bring(self._all[model])
        ids = torch.from_numpy(self._text.unit(unit)).to(running.device)
        kept = (ids != self._text.separator).view(-1).nonzero()[:, 0]
        return residual_stream(running, ids).flatten(0, 1).index_select(0, kept).to(self.dtype)

    def _bring(self, model: PreTrainedModel) -> PreTrainedModel:
        """`model` on the device, to stay there if there is room, else in the place of the one before."""
        if model in self._staying or model is self._visitor:
            return model
        size = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
        if size <= self.room:
            self.room -= size
            self._staying.add(model)
            self._stay.enter_context(on_device(model, self._device))
        else:
            self._visit.close()
            self._visit.enter_context(on_device(model, self._device))
            self._visitor = model
        return model


class StoredActivations:
    """Reads a harvest of the same text."""

    def __init__(self, stored: JointActivations, text: PackedTokens, dtype: StoredDtype) -> None:
        self.models, self.width = stored.models, stored.width
        self.dtype = getattr(torch, dtype)
        self.kept = text.kept
        if stored.n_tokens != self.kept.sum():
            raise UserError(
                f"activations of {', '.join(stored.models)}: {stored.n_tokens} tokens stored, but the text has "
                f"{self.kept.sum()}; harvest them on this text"
            )
        self._raw, self._ends = stored.raw, np.cumsum(self.kept)

    def activations(self, model: int, unit: int) -> Tensor:
        """Consecutive rows of the model's shard."""
        end = int(self._ends[unit])
        return self._raw[model][end - int(self.kept[unit]) : end].to(self.dtype)

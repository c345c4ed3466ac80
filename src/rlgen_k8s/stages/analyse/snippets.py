"""The strongest examples of features with the text around them, read by the models themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.lm.middle import residual_stream
from rlgen_k8s.stages.analyse.results import Snippet

BEFORE, AFTER = 24, 8
"""Tokens shown around the strongest one."""


@dataclass(frozen=True)
class Place:
    """An example of a feature in the evaluation tokens."""

    feature: int
    sequence: int
    position: int

    def window(self, length: int) -> slice:
        """The positions that are shown, of a sequence of `length` tokens."""
        return slice(max(0, self.position - BEFORE), min(length, self.position + AFTER + 1))


def places_of(features: Sequence[int], rows: NDArray[np.int64], kept: NDArray[np.bool_], most: int) -> list[Place]:
    """Up to `most` examples of each feature, strongest first.

    `rows` [D, k] as in `crosscoder.Firing`: indices among the positions that `kept` [n, length] marks.
    """
    positions = np.argwhere(kept)
    return [
        Place(feature, *(int(x) for x in positions[row]))
        for feature in features
        for row in rows[feature][:most]
        if row >= 0
    ]


@torch.inference_mode()
def read_windows(
    model: PreTrainedModel, tokens: NDArray[np.int32], places: Sequence[Place], batch: int
) -> list[Tensor]:
    """The residual stream of each place's window: [window, d], float32, on the CPU. Each sequence is read once."""
    of_sequence: dict[int, list[int]] = {}
    for i, place in enumerate(places):
        of_sequence.setdefault(place.sequence, []).append(i)
    wanted, found = list(of_sequence), [torch.empty(0)] * len(places)
    for start in range(0, len(wanted), batch):
        chosen = wanted[start : start + batch]
        ids = torch.from_numpy(tokens[chosen].astype(np.int64)).to(model.device)
        for sequence, stream in zip(chosen, residual_stream(model, ids).float().cpu(), strict=True):
            for i in of_sequence[sequence]:
                found[i] = stream[places[i].window(len(stream))].clone()
    return found


@torch.inference_mode()
def snippets(
    crosscoder: Crosscoder,
    streams: Mapping[str, Sequence[Tensor]],
    tokens: NDArray[np.int32],
    kept: NDArray[np.bool_],
    places: Sequence[Place],
    tokenizer: PreTrainedTokenizerBase,
) -> dict[int, list[Snippet]]:
    """Examples by feature. `streams`: raw windows of every model of `crosscoder`, as `read_windows` gives them."""
    found: dict[int, list[Snippet]] = {}
    for i, place in enumerate(places):
        scaled = [streams[name][i] * scale for name, scale in zip(crosscoder.models, crosscoder.scales, strict=True)]
        x = torch.cat(scaled, dim=1).to(crosscoder.encoder)
        window = place.window(tokens.shape[1])
        # The separator is no text: crosscoders do not train on it.
        values = crosscoder.encode(x)[:, place.feature].float().cpu().numpy() * kept[place.sequence, window]
        snippet = Snippet(
            tokens=[str(tokenizer.decode([int(token)])) for token in tokens[place.sequence, window]],
            activations=[round(float(value), 4) for value in values],
            peak=place.position - window.start,
        )
        found.setdefault(place.feature, []).append(snippet)
    return found

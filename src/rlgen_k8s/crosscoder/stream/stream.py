"""The stream of batches: a bounded buffer that is filled, drawn empty in random order, and filled again.

Memory: the buffer, `M * d * order.most_tokens` values in the source's precision (of several processes each has its
share, or the models that it wants), one unit's activations and one batch. None of it is saved with a training: the
block that it was drawing from is run again, which costs at most one block's forward passes where saving would cost the
whole buffer at each resume point.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rlgen_k8s.crosscoder.data import TokenSet
from rlgen_k8s.crosscoder.model import column_scales
from rlgen_k8s.crosscoder.stream.order import Block, Order
from rlgen_k8s.crosscoder.stream.ranks import ALONE, Ranks
from rlgen_k8s.crosscoder.stream.recipe import Recipe
from rlgen_k8s.crosscoder.stream.scales import estimate_scales
from rlgen_k8s.crosscoder.stream.sources import Source
from rlgen_k8s.errors import UserError


class Stream:
    """Batches of the models' activations, scaled. Several processes run a share of the forwards each."""

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        *,
        scales: tuple[float, ...] | None = None,
        device: torch.device | str = "cpu",
        ranks: Ranks = ALONE,
        models: tuple[str, ...] | None = None,
    ) -> None:
        """`scales`: None estimates them. `device` holds the buffer and the batches, of `models` (None: all)."""
        if recipe.batch % ranks.shares:
            raise UserError(
                f"recipe batch: {recipe.batch} tokens are not a multiple of {ranks.shares} processes; "
                "change one of them"
            )
        self.source, self.recipe, self.ranks = source, recipe, ranks
        self.order = Order(source.kept, recipe)
        self.scales = scales or estimate_scales(source, recipe.scale_units)
        self.models = source.models if models is None else models
        share = -(-self.order.most_tokens // ranks.shares)
        self._buffer = torch.empty(share, len(self.models) * source.width, dtype=source.dtype, device=device)
        own_scales = self.token_set(self.models).scales
        self._column_scales = column_scales(own_scales, source.width, torch.empty(0, device=device))

    def token_set(self, models: tuple[str, ...]) -> TokenSet:
        """What a trainer on `models` has to know. Raises `UserError` if the stream does not have one of them."""
        for name in models:
            if name not in self.source.models:
                raise UserError(f"stream model {name}: not one of {', '.join(self.source.models)}; name one of these")
        scales = tuple(self.scales[self.source.models.index(name)] for name in models)
        return TokenSet(models, scales, self.source.width, self.order.n_tokens)

    def batches(self, first: int = 0) -> Iterator[Tensor]:
        """The batches from step `first` on, this process's tokens of each: [≤ batch / shares, M * d] float32.

        The last batch of an epoch may be smaller. Each batch reuses the memory of the last.
        """
        out = torch.empty(self.recipe.batch // self.ranks.shares, self._buffer.shape[1], device=self._buffer.device)
        epoch, step = divmod(first, self.order.steps_per_epoch)
        start, filled = step * self.recipe.batch, 0
        for number in range(epoch, self.recipe.epochs):
            for block in self.order.blocks(number):
                if block.first + block.tokens <= start:
                    continue
                self._fill(block, start)
                drawn = 0
                for tokens, complete in self._pieces(block, start):
                    part = out[filled : filled + tokens].copy_(self._buffer[drawn : drawn + tokens])
                    part.mul_(self._column_scales)
                    drawn, filled = drawn + tokens, filled + tokens
                    if complete:
                        yield out[:filled]
                        filled = 0
            start = 0

    def _pieces(self, block: Block, start: int) -> Iterator[tuple[int, bool]]:
        """For each batch with draws in `block` from `start` on: how many are ours, and whether they complete it."""
        at, end, batch = max(start, block.first), block.first + block.tokens, self.recipe.batch
        while at < end:
            stop = min(end, at - at % batch + batch)
            yield self.ranks.share(at, stop), stop % batch == 0 or stop == self.order.n_tokens
            at = stop

    def _fill(self, block: Block, start: int) -> None:
        """Put our tokens of `block` into the buffer in the order of their draws, those before `start` left out."""
        draws = self.order.draws(block)
        position = block.first + np.arange(block.tokens)
        ours = draws[(position >= start) & self.ranks.takes(position)]
        places = np.full(block.tokens, -1)
        places[ours] = np.arange(len(ours))
        place = torch.from_numpy(places).to(self._buffer.device)
        width = self.source.width
        for model, name in enumerate(self.source.models):
            at = self.models.index(name) * width if name in self.models else None
            row = 0
            for activations in self._run(model, block.units):
                to = place[row : row + len(activations)]
                row += len(activations)
                if at is None:
                    continue
                if len(ours) < block.tokens:
                    kept = to >= 0
                    to, activations = to[kept], activations[kept]
                self._buffer[to, at : at + width] = activations

    def _run(self, model: int, units: np.ndarray) -> Iterator[Tensor]:
        """Activations of `units` in order, where the buffer is; processes run one each and exchange them."""
        nothing = self._buffer.new_empty(0, self.source.width)
        for at in range(0, len(units), self.ranks.count):
            together = units[at : at + self.ranks.count]
            mine = together[self.ranks.rank :][:1]
            ours = self.source.activations(model, int(mine[0])).to(nothing.device) if len(mine) else nothing
            yield from self.ranks.exchange(ours, [int(self.source.kept[unit]) for unit in together])

"""Which crosscoders this process trains, by the memory that its device and those of the others have.

Free memory is measured: what the driver says while the device holds no model, less the most that a model took there
when the evaluation shard was run. What a crosscoder takes is known from its sizes, and so is what a step costs: a step
is five matrix products, whose FLOP are counted. Timing steps would bring little, as all crosscoders of a stream do the
same products at one width, and could place them in another way after a restart.
"""

import math
from collections.abc import Mapping

import torch
import torch.distributed

from rlgen_k8s.cost import memory
from rlgen_k8s.cost.placement import held, place
from rlgen_k8s.crosscoder.stream import LiveActivations, Order, Ranks
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.crosscoder.wanted import Wanted

FILLED = 0.95
"""Share of a GPU's free memory that may be filled; the rest is for what fragments, and for the products' workspaces."""


def own_crosscoders(
    wanted: Mapping[str, Wanted], source: LiveActivations, order: Order, settings: CrosscoderSettings, ranks: Ranks
) -> tuple[str, ...]:
    """The names of this process's; the processes of `ranks` together have each of `wanted` once. In what they leave of
    the device's memory models may stay.

    To be called by all of them; it waits for all. Raises `UserError` if a crosscoder fits nowhere.
    """
    loads = {name: memory.crosscoder_load(source.width, one.settings, one.reads) for name, one in wanted.items()}
    per_model = memory.stream_buffer(source.width, settings, order.most_tokens, source.dtype.itemsize)
    free = _free(ranks)
    own = place(loads, free, per_model)[ranks.rank]
    source.room = free[ranks.rank] - held([loads[name] for name in own], per_model)
    return own


def _free(ranks: Ranks) -> list[float]:
    """Bytes of each process's device, beside a model that runs. Without a GPU there is no limit: the processes' memory
    is one, and no arrangement saves any of it."""
    mine = (math.inf, 0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        mine = (torch.cuda.mem_get_info()[0], torch.cuda.max_memory_allocated())
    measured = [mine] * ranks.count
    if ranks.count > 1:
        torch.distributed.all_gather_object(measured, mine)
    model = max(taken for _, taken in measured)
    return [FILLED * free - model for free, _ in measured]

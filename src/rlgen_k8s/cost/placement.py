"""Which crosscoder is trained on which device. Plain arithmetic: bytes and costs in, names out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlgen_k8s.errors import UserError


@dataclass(frozen=True)
class Load:
    """What training one crosscoder takes of a device."""

    memory: float
    """Bytes: weights, gradients, optimizer, a step's intermediates."""
    cost: float
    """Work of a step, in any unit that all loads share."""
    reads: frozenset[str]
    """Models whose activations the device has to hold."""


def held(loads: Sequence[Load], per_model: float) -> float:
    """Bytes of a device that trains `loads`; activations of a model are held once, and take `per_model` bytes."""
    read = frozenset[str]().union(*(load.reads for load in loads))
    return sum(load.memory for load in loads) + per_model * len(read)


def place(loads: Mapping[str, Load], free: Sequence[float], per_model: float) -> list[tuple[str, ...]]:
    """For each device the crosscoders that it trains; `free`: each one's bytes.

    The costliest first, each to the device that has the least to do of those where it fits (longest processing time
    first, Graham 1969: the busiest device has at most 4/3 of the work that it has at best, where memory leaves the
    choice). Of devices with equally much to do, the one that then holds the least. Raises `UserError` for a crosscoder
    that fits nowhere; as the choice is greedy, an arrangement that fits may be missed where memory is nearly full.
    """
    placed: list[list[str]] = [[] for _ in free]
    for name in sorted(loads, key=lambda name: -loads[name].cost):
        chosen = None
        for device, names in enumerate(placed):
            here = [loads[other] for other in names]
            needed = held([*here, loads[name]], per_model)
            rank = (sum(load.cost for load in here), needed, device)
            if needed <= free[device] and (chosen is None or rank < chosen):
                chosen = rank
        if chosen is None:
            raise UserError(_refusal(name, loads[name], free, per_model))
        placed[chosen[2]].append(name)
    return [tuple(name for name in loads if name in names) for names in placed]


def _refusal(name: str, load: Load, free: Sequence[float], per_model: float) -> str:
    alone = held([load], per_model)
    needs = f"crosscoder {name}: needs {alone / 1e9:.1f} GB of a device, {per_model * len(load.reads) / 1e9:.1f} of it"
    if alone > max(free):
        return (
            f"{needs} activations, and none has more than {max(free) / 1e9:.1f} GB free; "
            "lower crosscoder.n_features or crosscoder.buffer_sequences"
        )
    return (
        f"{needs} activations, and beside the other crosscoders none of {len(free)} devices has them; "
        "raise pods.stream.gpus or pods.stream.nodes, or lower crosscoder.n_features or crosscoder.buffer_sequences"
    )

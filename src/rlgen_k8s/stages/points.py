"""After which steps a training saves: for its checkpoints, and between them for an attempt that goes on after it."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rlgen_k8s.errors import UserError

RESUME_STEPS = "RLGEN_RESUME_STEPS"


def resume_steps(environ: Mapping[str, str]) -> int | None:
    """The most steps between two saves, by `RLGEN_RESUME_STEPS` (`pods.<stage>.resume_steps`); None: checkpoints alone.

    Raises `UserError` for what is no number of steps.
    """
    given = environ.get(RESUME_STEPS, "")
    if given and (not given.isdecimal() or int(given) < 1):
        raise UserError(f"{RESUME_STEPS} {given!r}: expected a number of steps, 1 or more")
    return int(given) if given else None


def save_steps(checkpoints: Sequence[int], every: int | None) -> list[int]:
    """The steps `checkpoints`, in order, and as few others, spread evenly between them, as leave no more than `every`
    steps from one to the next."""
    if every is None:
        return list(checkpoints)
    steps = []
    for before, after in pairwise([0, *checkpoints]):
        parts = math.ceil((after - before) / every)
        steps += [before + (after - before) * part // parts for part in range(1, parts + 1)]
    return steps

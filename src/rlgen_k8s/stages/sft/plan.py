"""When to save: five checkpoints, one each fifth of the training, for any number of traces."""

from math import ceil

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.contract import CHECKPOINTS


def total_steps(traces: int, batch: int, epochs: int) -> int:
    """Optimizer steps of a training on `traces` examples; each epoch's last batch may be a partial one."""
    return ceil(traces / batch) * epochs


def save_points(steps: int) -> list[int]:
    """The five steps after which a checkpoint is due, the last being `steps`.

    They are distinct, and each is within half a step of its fifth. Raises `UserError` for fewer than five steps.
    """
    if steps < CHECKPOINTS:
        raise UserError(
            f"training of {steps} steps: too short for {CHECKPOINTS} checkpoints, expected {CHECKPOINTS} or more; "
            "give more traces or epochs, or a smaller batch"
        )
    return [round(steps * k / CHECKPOINTS) for k in range(1, CHECKPOINTS + 1)]

"""How many steps an epoch has, and after which of them a fifth of the training is done."""

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.contract import CHECKPOINTS


def checkpoint_steps(n_prompts: int, prompts_per_step: int, epochs: int) -> list[int]:
    """The five steps after which at least 1/5, 2/5, … 5/5 of the training is done; the last is the last step.

    verl drops the last, partial batch of an epoch, so an epoch has `n_prompts // prompts_per_step` steps.
    Raises `UserError` if the training has fewer than five steps.
    """
    steps = n_prompts // prompts_per_step * epochs
    if steps < CHECKPOINTS:
        raise UserError(
            f"prompts_per_step {prompts_per_step}: {n_prompts} problems make {steps} steps in {epochs} epoch(s), and "
            f"{CHECKPOINTS} checkpoints need at least {CHECKPOINTS}; use fewer prompts per step or more problems"
        )
    return [-(-steps * fifth // CHECKPOINTS) for fifth in range(1, CHECKPOINTS + 1)]

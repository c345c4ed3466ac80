"""How many steps an epoch has, and after which of them a fifth of the training is done."""

from rlgen_k8s.errors import UserError

FIFTHS = 5


def checkpoint_steps(n_prompts: int, prompts_per_step: int, epochs: int) -> list[int]:
    """The five steps after which at least 1/5, 2/5, … 5/5 of the training is done; the last is the last step.

    verl drops the last, partial batch of an epoch, so an epoch has `n_prompts // prompts_per_step` steps.
    Raises `UserError` if the training has fewer than five steps.
    """
    steps = n_prompts // prompts_per_step * epochs
    if steps < FIFTHS:
        raise UserError(
            f"prompts_per_step {prompts_per_step}: {n_prompts} problems make {steps} steps in {epochs} epoch(s), and "
            f"{FIFTHS} checkpoints need at least {FIFTHS}; use fewer prompts per step or more problems"
        )
    return [-(-steps * fifth // FIFTHS) for fifth in range(1, FIFTHS + 1)]

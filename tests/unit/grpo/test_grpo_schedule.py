import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.grpo.callback import NextCheckpoint
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps


class _Trainer:
    """As much of verl's trainer and its configuration as its rule for saving reads."""

    def __init__(self, steps: list[int], save_freq: int) -> None:
        self.config = self
        self.trainer = self
        self.checkpoint_steps = steps
        self.save_freq = save_freq


def _saved(total: int, steps: list[int], done: int) -> list[int]:
    """The steps that verl's loop saves after (PPOTrainer.fit: every multiple of `save_freq`, and the last)."""
    trainer = _Trainer(steps, next(step for step in steps if step > done))
    callback = NextCheckpoint(trainer)
    saved = []
    for step in range(done + 1, total + 1):
        if step >= total or step % trainer.save_freq == 0:
            saved.append(step)
            callback.on_save(trainer=trainer, global_step=step, checkpoint_dir="", async_save=False)
    return saved


@pytest.mark.parametrize("total", [*range(5, 130), 367, 1000, 4999])
def test_five_checkpoints_one_each_fifth_for_any_number_of_steps(total: int) -> None:
    steps = checkpoint_steps(total * 16 + 15, 16, 1)
    assert steps[-1] == total
    assert all(0 <= step * 5 - fifth * total < 5 for fifth, step in enumerate(steps, 1))
    assert _saved(total, steps, done=0) == steps
    for done in range(4):
        assert _saved(total, steps, done=steps[done]) == steps[done + 1 :]


def test_the_full_set_of_47_thousand_problems_has_367_steps() -> None:
    assert checkpoint_steps(47_000, 128, 1) == [74, 147, 221, 294, 367]


def test_epochs_multiply_whole_epochs() -> None:
    assert checkpoint_steps(31, 10, 2) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(("prompts", "per_step"), [(79, 16), (3, 16), (0, 1)])
def test_fewer_than_five_steps_are_refused(prompts: int, per_step: int) -> None:
    with pytest.raises(UserError, match="prompts_per_step"):
        checkpoint_steps(prompts, per_step, 1)

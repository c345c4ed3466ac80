from itertools import pairwise

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.grpo.callback import NextSave
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps
from rlgen_k8s.stages.points import RESUME_STEPS, resume_steps, save_steps


class _Trainer:
    """As much of verl's trainer and its configuration as its rule for saving reads."""

    def __init__(self, steps: list[int], save_freq: int) -> None:
        self.config = self
        self.trainer = self
        self.save_steps = steps
        self.save_freq = save_freq


def _saved(total: int, steps: list[int], done: int) -> list[int]:
    """The steps that verl's loop saves after (PPOTrainer.fit: every multiple of `save_freq`, and the last)."""
    trainer = _Trainer(steps, next(step for step in steps if step > done))
    callback = NextSave(trainer)
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


@pytest.mark.parametrize("every", [1, 2, 5, 6, 7, 73, 74, 1000])
@pytest.mark.parametrize("total", [5, 6, 8, 12, 99, 367])
def test_between_the_checkpoints_it_saves_so_often_that_no_more_steps_can_be_lost(total: int, every: int) -> None:
    checkpoints = checkpoint_steps(total * 16, 16, 1)
    steps = save_steps(checkpoints, every)
    assert set(checkpoints) <= set(steps)
    gaps = [after - before for before, after in pairwise([0, *steps])]
    assert min(gaps) >= 1 and max(gaps) <= every
    needed = sum(-(-(after - before) // every) for before, after in pairwise([0, *checkpoints]))
    assert len(steps) == needed
    assert _saved(total, steps, done=0) == steps
    for done in (steps[0], steps[len(steps) // 2]):
        assert _saved(total, steps, done) == [step for step in steps if step > done]


def test_without_an_interval_only_the_checkpoints_are_saved() -> None:
    assert resume_steps({}) is None
    assert save_steps([74, 147, 221, 294, 367], None) == [74, 147, 221, 294, 367]


@pytest.mark.parametrize("given", ["0", "-1", "2.5", "six"])
def test_an_interval_that_is_none_is_refused_by_name(given: str) -> None:
    with pytest.raises(UserError, match=rf"RLGEN_RESUME_STEPS '{given}': expected a number of steps, 1 or more"):
        resume_steps({RESUME_STEPS: given})


def test_the_full_set_of_47_thousand_problems_has_367_steps() -> None:
    assert checkpoint_steps(47_000, 128, 1) == [74, 147, 221, 294, 367]


def test_epochs_multiply_whole_epochs() -> None:
    assert checkpoint_steps(31, 10, 2) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(("prompts", "per_step"), [(79, 16), (3, 16), (0, 1)])
def test_fewer_than_five_steps_are_refused(prompts: int, per_step: int) -> None:
    with pytest.raises(UserError, match="prompts_per_step"):
        checkpoint_steps(prompts, per_step, 1)

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.sft.plan import save_points, total_steps


def test_steps_are_those_of_a_loop_over_batches_with_a_partial_last_one() -> None:
    for traces in range(1, 60):
        for batch in (1, 7, 16):
            batches = [range(start, min(start + batch, traces)) for start in range(0, traces, batch)]
            assert total_steps(traces, batch, 3) == 3 * len(batches)


def test_there_are_five_distinct_save_points_each_at_its_fifth_and_the_last_at_the_end() -> None:
    for steps in range(5, 600):
        points = save_points(steps)
        assert len(set(points)) == 5
        assert points == sorted(points)
        assert points[-1] == steps
        assert all(abs(point - steps * k / 5) <= 0.5 for k, point in enumerate(points, start=1))


def test_the_full_study_saves_each_fifth() -> None:
    assert total_steps(47_000, 128, 1) == 368
    assert save_points(368) == [74, 147, 221, 294, 368]


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_training_too_short_for_five_checkpoints_is_refused_with_what_to_do(steps: int) -> None:
    with pytest.raises(UserError, match=rf"{steps} steps.*5 checkpoints.*smaller batch"):
        save_points(steps)

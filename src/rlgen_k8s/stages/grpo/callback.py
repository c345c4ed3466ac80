"""Checkpoints at exactly the steps that the stage asks for."""

from typing import Any


class NextCheckpoint:
    """verl's checkpoint callback that moves `save_freq` on to the next wanted step.

    verl saves at every multiple of `trainer.save_freq`. The first multiple of a step's number is that step itself, so
    `save_freq` holds the number of the next step to save, and this changes it after each save.
    """

    def __init__(self, config: Any) -> None:
        self._steps: list[int] = list(config.trainer.checkpoint_steps)

    def on_save(self, *, trainer: Any, global_step: int, **_: Any) -> None:
        """Called by verl in its driver process when the checkpoint of `global_step` is whole on disk."""
        later = [step for step in self._steps if step > global_step]
        if later:
            trainer.config.trainer.save_freq = min(later)

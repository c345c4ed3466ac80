"""A crosscoder that a stage is to make, alone or beside others."""

from dataclasses import dataclass, fields
from pathlib import Path

from rlgen_k8s.crosscoder import TrainingPlan
from rlgen_k8s.crosscoder.stream import Member, Recipe
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings


@dataclass(frozen=True)
class Wanted:
    """What it is to be, and where it goes."""

    settings: CrosscoderSettings
    reads: tuple[str, ...]
    """The source's model for each of `settings.models`."""
    out: Path
    """Folder of its result."""
    prefix: str = ""
    """Of the names of its metrics."""

    @property
    def member(self) -> Member:
        """As a stream trains it."""
        settings = self.settings
        values = {field.name: getattr(settings, field.name) for field in fields(TrainingPlan)}
        if settings.start_seed is not None:
            values["seed"] = settings.start_seed
        return Member(self.reads, TrainingPlan(**values), settings.models)


def recipe(settings: CrosscoderSettings, *, unit: int, scale_units: int, corpus: str) -> Recipe:
    """The recipe of a stream whose units are of `unit` sequences; see `Recipe` for the others."""
    return Recipe(
        batch=settings.batch,
        epochs=settings.epochs,
        seed=settings.seed,
        block=-(-settings.buffer_sequences // unit),
        scale_units=scale_units,
        corpus=corpus,
    )

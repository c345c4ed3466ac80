"""Settings of the stage `stream`; the study fills them all, from its settings of harvest and crosscoder."""

from typing import Any

from pydantic import model_validator

from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.settings import StageSettings, setting


class Asked(StageSettings):
    """One crosscoder of several: what sets it apart from the others."""

    models: tuple[str, ...] = setting(doc="As in `crosscoder`.", source="ours")
    reads: tuple[str, ...] = setting(doc="For each of them the input `model-<name>` that is meant.", source="ours")
    start_seed: int | None = setting(None, doc="As in `crosscoder`.", source="ours")
    start_apart: bool = setting(False, doc="As in `crosscoder`.", source="ours")
    n_features: int | None = setting(None, doc="Instead of that of the others.", source="ours")
    sparsity_weight: float | None = setting(None, doc="Instead of that of the others.", source="ours")

    @property
    def own(self) -> dict[str, Any]:
        """What it has of the settings of `crosscoder`; the rest is that of all."""
        alone = {name: getattr(self, name) for name in ("n_features", "sparsity_weight")}
        common = {"models": self.models, "start_seed": self.start_seed, "start_apart": self.start_apart}
        return common | {name: value for name, value in alone.items() if value is not None}


class StreamSettings(StageSettings):
    """How models run, how crosscoders are trained, and which ones there are to be."""

    harvest: HarvestSettings = setting(
        HarvestSettings(), doc="How activations are computed and held.", source="ours", filled="set harvest"
    )
    crosscoder: CrosscoderSettings = setting(
        CrosscoderSettings(), doc="What all crosscoders have in common.", source="ours", filled="set crosscoder"
    )
    crosscoders: dict[str, Asked] = setting({}, doc="The crosscoders, by name.", source="ours", filled="leave it out")

    @model_validator(mode="after")
    def _reads_are_of_models_that_are_there(self) -> "StreamSettings":
        for name, asked in self.crosscoders.items():
            if len(asked.reads) != len(asked.models):
                raise ValueError(f"crosscoders: {name} reads {len(asked.reads)} inputs for {len(asked.models)} models")
        return self

    @model_validator(mode="after")
    def _crosscoders_are_as_the_stage_makes_them(self) -> "StreamSettings":
        for name in self.crosscoders:
            self.of(name)
        return self

    def of(self, name: str) -> CrosscoderSettings:
        """The settings with which the stage `crosscoder` would make this one."""
        return CrosscoderSettings.model_validate(self.crosscoder.model_dump() | self.crosscoders[name].own)

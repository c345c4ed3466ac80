"""Settings of the stage `harvest`."""

from typing import Literal

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class HarvestSettings(StageSettings):
    """How activations are computed and stored. The layer is the middle one, always."""

    seed: int = seed_setting()
    dtype: Literal["bfloat16", "float32"] = setting(
        "bfloat16", doc="Precision of the stored activations; the forward runs in the model's own.", source="ours"
    )
    batch: int = setting(64, doc="Sequences in one forward pass.", unit="sequences", source="ours: fits one H200", ge=1)

"""Settings of the stage `harvest`."""

from typing import Literal

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class HarvestSettings(StageSettings):
    """How activations are computed and held. The layer is the middle one, always."""

    seed: int = seed_setting()
    dtype: Literal["bfloat16", "float32"] = setting(
        "bfloat16",
        doc="Precision of the activations, stored or in a stream's buffer; the forward runs in the model's own.",
        source="ours",
    )
    batch: int = setting(64, doc="Sequences in one forward pass.", unit="sequences", source="ours: fits one H200", ge=1)
    scale_sequences: int = setting(
        512,
        doc="Training sequences, the first in the corpus's shuffled order, over which a model's scale is the mean.",
        unit="sequences",
        source="ours: half a million tokens; the relative standard error is about 0.05 %",
        ge=1,
    )

    @property
    def scale_units(self) -> int:
        """`scale_sequences` in whole forward passes."""
        return -(-self.scale_sequences // self.batch)

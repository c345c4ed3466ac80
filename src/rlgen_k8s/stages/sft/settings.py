"""Settings of the stage `sft`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class SftSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

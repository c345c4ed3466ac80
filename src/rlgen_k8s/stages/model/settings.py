"""Settings of the stage `model`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class ModelSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

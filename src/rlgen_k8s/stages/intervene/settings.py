"""Settings of the stage `intervene`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class InterveneSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

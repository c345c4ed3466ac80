"""Settings of the stage `harvest`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class HarvestSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

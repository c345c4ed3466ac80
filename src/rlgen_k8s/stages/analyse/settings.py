"""Settings of the stage `analyse`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class AnalyseSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

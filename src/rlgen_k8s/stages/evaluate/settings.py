"""Settings of the stage `evaluate`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class EvaluateSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

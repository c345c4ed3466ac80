"""Settings of the stage `grpo`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class GrpoSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

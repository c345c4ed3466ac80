"""Settings of the stage `problems`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class ProblemsSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

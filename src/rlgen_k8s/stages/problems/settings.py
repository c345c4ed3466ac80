"""Settings of the stage `problems`."""

from rlgen_k8s.stages.settings import StageSettings, setting


class ProblemsSettings(StageSettings):
    """See each field."""

    seed: int = setting(0, doc="Seed of every random choice of this stage; filled from the study's.", source="ours", ge=0)

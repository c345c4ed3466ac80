"""Settings of the stage `report`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class ReportSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

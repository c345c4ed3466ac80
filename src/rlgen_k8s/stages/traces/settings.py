"""Settings of the stage `traces`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class TracesSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

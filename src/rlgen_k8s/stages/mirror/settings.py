"""Settings of the stage `mirror`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class MirrorSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

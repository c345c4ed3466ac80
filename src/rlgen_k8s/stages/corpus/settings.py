"""Settings of the stage `corpus`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class CorpusSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

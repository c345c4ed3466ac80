"""Settings of the stage `crosscoder`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting


class CrosscoderSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()

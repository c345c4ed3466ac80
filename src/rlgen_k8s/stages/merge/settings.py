"""Settings of the stage `merge`."""

from rlgen_k8s.stages.settings import StageSettings


class MergeSettings(StageSettings):
    """None: the inputs are all there is to say."""

"""Settings of the stage `merge`."""

from typing import Literal

from rlgen_k8s.stages.settings import StageSettings, setting


class MergeSettings(StageSettings):
    """What is merged; all else is in the inputs."""

    of: Literal["traces", "evaluate"] = setting(doc="Stage whose shards are merged; the study fills it.", source="ours")

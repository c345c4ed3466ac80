"""Settings of `counting`, a stage that is as small as a real one can be."""

from typing import Literal

from rlgen_k8s.stages.settings import StageSettings, setting


class CountingSettings(StageSettings):
    """What to count, how slowly, and how to end."""

    steps: int = setting(5, doc="numbers to write", source="ours", ge=0)
    pause: float = setting(0.0, doc="time between two numbers", unit="s", source="ours", ge=0)
    ending: Literal["done", "user", "try-again", "crash", "hang", "stuck"] = setting(
        "done", doc="how it ends; hang: never, in native code; stuck: never, telling the same progress", source="ours"
    )
    helper: bool = setting(False, doc="whether to leave a process running", source="ours")
    size: int = setting(0, doc="size of a further file", unit="bytes", source="ours", ge=0)
    state_size: int = setting(0, doc="size of a further file in a resume point", unit="bytes", source="ours", ge=0)

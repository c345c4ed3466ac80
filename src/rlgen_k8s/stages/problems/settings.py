"""Settings of the stage `problems`."""

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class ProblemsSettings(StageSettings):
    """How many problems, and how they are asked."""

    seed: int = seed_setting()
    instruction: str = setting(
        "Please reason step by step, and put your final answer within \\boxed{}.",
        doc="Follows each problem, on a line of its own; filled from the study's.",
        source="Qwen2.5-Math model card",
        filled="set instruction",
    )
    size: int = setting(
        47000,
        doc="Problems to keep of MATH and DeepScaleR together, drawn by the seed; all of them if there are fewer.",
        unit="problems",
        source="docs/study.md, settings",
        ge=1,
    )

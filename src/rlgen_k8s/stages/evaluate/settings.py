"""Settings of the stage `evaluate`."""

from typing import get_args

from pydantic import model_validator

from rlgen_k8s.lm.engines import EngineName
from rlgen_k8s.lm.harness.names import MathsTask, MultipleChoiceTask, TaskName, is_maths
from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting, shard_setting, shards_setting


class EvaluateSettings(StageSettings):
    """Which tasks, how much of them, and how maths problems are asked."""

    seed: int = seed_setting()
    engine: EngineName = setting(
        "vllm",
        doc="What answers maths problems: vLLM on GPUs, or Hugging Face's generate (for models of tiny size on CPUs).",
        source="ours",
    )
    instruction: str = setting(
        "Please reason step by step, and put your final answer within \\boxed{}.",
        doc="Follows each maths problem, on a line of its own; filled from the study's.",
        source="Qwen2.5-Math model card",
        filled="set instruction",
    )
    multiple_choice: tuple[MultipleChoiceTask, ...] = setting(
        get_args(MultipleChoiceTask), doc="Multiple-choice tasks to score.", source="paper 2.1, B.4"
    )
    maths: tuple[MathsTask, ...] = setting(get_args(MathsTask), doc="Maths tasks to score.", source="paper 2.1")
    limit: int | None = setting(
        None, doc="Samples of each task to score, from its start; none for all.", unit="samples", source="ours", ge=1
    )
    repeats_math500: int = setting(
        3, doc="Responses to each problem of MATH500.", unit="responses", source="docs/study.md, settings", ge=1
    )
    repeats_aime: int = setting(
        10,
        doc="Responses to each problem of AIME24 and AIME25.",
        unit="responses",
        source="docs/study.md, settings",
        ge=1,
    )
    temperature: float = setting(
        0.6, doc="Sampling temperature of maths responses; 0 is greedy.", source="Qwen3 model card: paper silent", ge=0
    )
    top_p: float = setting(
        0.95, doc="Nucleus of the sampling; 1 keeps all tokens.", source="Qwen3 model card: paper silent", gt=0, le=1
    )
    top_k: int = setting(
        20, doc="Tokens to sample from; 0 keeps all.", unit="tokens", source="Qwen3 model card: paper silent", ge=0
    )
    max_new_tokens: int = setting(
        16384, doc="Length limit of a maths response.", unit="tokens", source="docs/study.md: RL's 16 K", ge=1
    )
    tokens_per_batch: int = setting(
        32768, doc="Tokens in one forward pass over multiple-choice options.", unit="tokens", source="ours", ge=1
    )
    sequences_per_generation: int = setting(
        64, doc="Maths responses sampled at a time, at most.", unit="sequences", source="ours: fits one H200", ge=1
    )

    shards: int = shards_setting("tasks and responses")
    shard: int = shard_setting("evaluate")
    resume_responses: int = setting(
        256,
        doc="Maths responses between two resume points, and what shards take turns at.",
        unit="responses",
        source="ours: each such block waits for its longest response",
        ge=1,
    )

    def repeats(self, task: TaskName) -> int:
        """Answers of the model to each sample of `task`."""
        if not is_maths(task):
            return 1
        return self.repeats_math500 if task == "math500" else self.repeats_aime

    @model_validator(mode="after")
    def _something_to_do(self) -> "EvaluateSettings":
        if not self.multiple_choice and not self.maths:
            raise ValueError("multiple_choice: empty, and so is `maths`; name at least one task")
        if self.temperature == 0 and self.maths and max(self.repeats_math500, self.repeats_aime) > 1:
            raise ValueError("temperature: 0 makes all repeats equal; set the repeats to 1 or raise it")
        return self

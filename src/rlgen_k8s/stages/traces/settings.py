"""Settings of the stage `traces`."""

from rlgen_k8s.lm.engines import EngineName
from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting, shard_setting, shards_setting

QWEN3 = "Qwen3-32B model card, thinking mode"


class TracesSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()
    engine: EngineName = setting(
        "vllm",
        doc="What answers: vLLM on GPUs, or Hugging Face's generate (for models of tiny size on CPUs).",
        source="ours",
    )
    max_tries: int = setting(
        4, doc="Samples of one problem before it is given up.", unit="samples", source="ours: paper silent", ge=1
    )
    temperature: float = setting(0.6, doc="Sampling temperature of the teacher.", source=QWEN3, gt=0)
    top_p: float = setting(0.95, doc="Nucleus of the sampling; 1 keeps all tokens.", source=QWEN3, gt=0, le=1)
    top_k: int = setting(20, doc="Tokens to sample from; 0 keeps all.", unit="tokens", source=QWEN3, ge=0)
    max_new_tokens: int = setting(
        16384,
        doc="Length limit of a response; a longer one is rejected.",
        unit="tokens",
        source="docs/study.md: RL's 16 K",
        ge=1,
    )
    batch_size: int = setting(
        64, doc="Prompts answered at a time, at most.", unit="prompts", source="ours: fits one H200", ge=1
    )
    shards: int = shards_setting("problems")
    shard: int = shard_setting("traces")
    resume_problems: int = setting(
        1024,
        doc="Problems between two resume points: what a restart may have to sample again.",
        unit="problems",
        source="ours",
        ge=1,
    )

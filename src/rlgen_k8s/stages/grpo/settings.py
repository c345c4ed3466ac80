"""Settings of the stage `grpo`; the defaults are the full studies'."""

from typing import Literal, Self

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting

_STUDY = "docs/study.md, settings"


class GrpoSettings(StageSettings):
    """Group relative policy optimization with verl. Five checkpoints, one each fifth of the training."""

    seed: int = seed_setting()
    engine: Literal["vllm", "hf"] = setting(
        "vllm",
        doc="What answers the prompts: vLLM on GPUs, or Hugging Face models on CPUs (for models of tiny size).",
        source="ours",
    )
    precision: Literal["bf16", "fp32"] = setting(
        "bf16",
        doc="Of the forward and backward passes, and of checkpoints. Trained weights and optimizer are fp32 always.",
        source="verl default",
    )
    max_problems: int | None = setting(
        None, doc="Use at most so many problems, drawn by the seed; None: all.", unit="problems", source=_STUDY, ge=1
    )
    epochs: int = setting(1, doc="Times each problem is used.", unit="epochs", source=_STUDY, ge=1)
    prompts_per_step: int = setting(128, doc="Problems in one step.", unit="prompts", source=_STUDY, ge=1)
    rollouts: int = setting(8, doc="Responses to each prompt: the group.", unit="responses", source=_STUDY, ge=2)
    mini_batch_prompts: int = setting(
        64, doc="Problems (with all their responses) in one optimizer step.", unit="prompts", source=_STUDY, ge=1
    )
    prompt_tokens: int = setting(
        2048,
        doc="Problems whose prompt is longer are left out.",
        unit="tokens",
        source="ours: MATH's are shorter",
        ge=1,
    )
    response_tokens: int = setting(16384, doc="Longest response.", unit="tokens", source=_STUDY, ge=1)
    tokens_per_pass: int = setting(
        18432,
        doc="Responses are packed into passes of at most so many tokens on one GPU; memory grows with it.",
        unit="tokens",
        source="ours: one longest prompt and response",
        ge=1,
    )
    temperature: float = setting(1.0, doc="Of sampling the responses.", source="verl default", gt=0)
    learning_rate: float = setting(1e-6, doc="AdamW's, constant.", source=_STUDY, gt=0)
    weight_decay: float = setting(0.01, doc="AdamW's.", source="verl default", ge=0)
    gradient_norm: float = setting(1.0, doc="Gradients are scaled down to this norm.", source="verl default", gt=0)
    clip_low: float = setting(0.22, doc="The probability ratio is clipped below 1 - this.", source=_STUDY, gt=0, lt=1)
    clip_high: float = setting(0.28, doc="The probability ratio is clipped above 1 + this.", source=_STUDY, gt=0)
    clip_negative: float = setting(
        3.0,
        doc="With a negative advantage the loss is bounded at this ratio too (dual clip).",
        source="verl default clip_ratio_c",
        gt=1,
    )
    kl_coefficient: float = setting(0.0, doc="Weight of the KL loss to the base model; 0: none.", source=_STUDY, ge=0)
    entropy_coefficient: float = setting(0.0, doc="Weight of the entropy bonus.", source=_STUDY, ge=0)
    loss_mean: Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"] = setting(
        "token-mean", doc="How the loss is averaged over tokens and responses.", source="verl default"
    )
    advantage_by_std: bool = setting(
        True, doc="Divide advantages by the standard deviation of their group's rewards.", source="verl default"
    )
    n_gpus: int = setting(
        8, doc="GPUs, of all pods that share the work; with engine hf: training processes.", source="ours", ge=1
    )
    tensor_parallel: int = setting(1, doc="GPUs that share one vLLM model.", source="ours: up to 8B fits on one", ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prompts_per_step % self.mini_batch_prompts:
            raise ValueError(
                f"mini_batch_prompts {self.mini_batch_prompts}: must divide prompts_per_step {self.prompts_per_step}"
            )
        if self.tokens_per_pass < self.prompt_tokens + self.response_tokens:
            raise ValueError(
                f"tokens_per_pass {self.tokens_per_pass}: must hold the longest prompt and response together "
                f"(prompt_tokens + response_tokens = {self.prompt_tokens + self.response_tokens})"
            )
        if self.mini_batch_prompts * self.rollouts % self.n_gpus:
            raise ValueError(
                f"n_gpus {self.n_gpus}: must divide the {self.mini_batch_prompts * self.rollouts} "
                "responses of a mini-batch (mini_batch_prompts x rollouts)"
            )
        if self.n_gpus % self.tensor_parallel:
            raise ValueError(f"tensor_parallel {self.tensor_parallel}: must divide the {self.n_gpus} GPUs")
        if self.engine == "hf" and self.tensor_parallel > 1:
            raise ValueError("engine hf: runs with tensor_parallel 1")
        return self

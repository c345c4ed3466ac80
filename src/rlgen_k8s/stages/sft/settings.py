"""Settings of the stage `sft`."""

from typing import Literal, Self

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class SftSettings(StageSettings):
    """See each field."""

    seed: int = seed_setting()
    batch: int = setting(128, doc="Global batch.", unit="traces", source="docs/study.md, settings", ge=1)
    per_device_batch: int = setting(
        1, doc="Traces in one forward pass of one process.", unit="traces", source="ours: 16 K tokens on one H200", ge=1
    )
    processes: int = setting(8, doc="Training processes, one a GPU.", unit="processes", source="ours: one node", ge=1)
    deepspeed_stage: Literal[2, 3] | None = setting(
        3,
        doc="ZeRO stage of DeepSpeed; none: plain training of one process.",
        source="docs/study.md: LLaMA-Factory; stage ours",
    )
    epochs: int = setting(1, doc="Passes over the traces.", unit="epochs", source="docs/study.md, settings", ge=1)
    learning_rate: float = setting(5e-5, doc="Peak learning rate.", source="docs/study.md, settings", gt=0)
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = setting(
        "cosine", doc="Course of the learning rate after the warm-up.", source="ours: LLaMA-Factory's examples"
    )
    warmup_ratio: float = setting(
        0.1,
        doc="Part of all steps in which the learning rate rises.",
        source="ours: LLaMA-Factory's examples",
        ge=0,
        lt=1,
    )
    cutoff_len: int = setting(
        17408, doc="Longer traces are cut.", unit="tokens", source="ours: 16 K of response and 1 K of prompt", ge=16
    )
    template: str = setting(
        "qwen3",
        doc=(
            "LLaMA-Factory's name of the chat format; must build the same prompt as the tokenizer's chat template. "
            "qwen3: an empty thought is added to traces without one, so take qwen3_nothink where the teacher writes "
            "no <think> (and for plain ChatML); qwen for Qwen2.5, llama3 for Llama 3."
        ),
        source="ours: the teacher Qwen3-32B thinks",
    )
    precision: Literal["bfloat16", "float32"] = setting(
        "bfloat16",
        doc=(
            "Of the arithmetic. Under DeepSpeed also of the weights and checkpoints; "
            "plain bfloat16 training keeps weights and checkpoints in float32."
        ),
        source="ours: LLaMA-Factory's examples",
    )

    gradient_checkpointing: bool = setting(
        True,
        doc="Compute activations twice instead of keeping them: less memory, about a third more time.",
        source="LLaMA-Factory default",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        together = self.per_device_batch * self.processes
        if self.batch % together:
            raise ValueError(
                f"batch {self.batch}: expected a multiple of per_device_batch × processes = {together}; "
                "change one of them"
            )
        if self.processes > 1 and self.deepspeed_stage is None:
            raise ValueError(
                f"processes {self.processes}: expected 1 without DeepSpeed; "
                "set deepspeed_stage to 2 or 3, or processes to 1"
            )
        return self

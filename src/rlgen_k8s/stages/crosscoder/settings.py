"""Settings of the stage `crosscoder`."""

from typing import Literal

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class CrosscoderSettings(StageSettings):
    """Size, loss and schedule. Activations are scaled to a mean norm of √d, which gives λ its meaning."""

    seed: int = seed_setting()
    models: tuple[str, ...] = setting(
        ("base", "tuned"),
        doc="Names of the models, in order; filled from the study.",
        source="docs/study.md, settings",
        filled="leave it out",
    )
    start_seed: int | None = setting(
        None,
        doc="Seed of the weights at the start; none: `seed`. Crosscoders that differ in it see the same batches.",
        source="ours: do features depend on the start?",
        filled="set crosscoder_seeds",
    )
    start_apart: bool = setting(
        False,
        doc="Whether every model but the first starts in directions of its own: the noise floor.",
        source="ours: see crosscoder/noise.py",
        filled="set noise_floor",
    )
    n_features: int = setting(
        32768, doc="D, features of the dictionary.", unit="features", source="docs/study.md", ge=1
    )
    activation: Literal["relu", "batch_topk", "jumprelu"] = setting(
        "relu",
        doc="What keeps few features active: relu and λ on their norms; batch_topk, a fixed number for each batch; "
        "jumprelu, a trained threshold for each feature and λ on their number.",
        source="docs/study.md; Bussmann et al. 2024; Rajamanoharan et al. 2024, with Anthropic's gradients of 2025",
    )
    norm_penalty: Literal["l1", "l2"] = setting(
        "l1",
        doc="The norm by which a feature is penalised or chosen: l1, the sum of its decoder norms over the models; l2, "
        "the norm of these rows as one.",
        source="docs/study.md (l1); Anthropic crosscoder update (both)",
    )
    sparsity_weight: float = setting(
        2.0,
        doc="λ, weight of the sparsity penalty; without meaning for batch_topk.",
        source="docs/study.md, settings",
        ge=0,
    )
    active_features: int = setting(
        100,
        doc="batch_topk: mean number of active features of a token.",
        unit="features",
        source="Minder et al. 2025",
        ge=1,
    )
    auxiliary_features: int = setting(
        512,
        doc="batch_topk: dead features of a token that learn what the others leave.",
        unit="features",
        source="Bussmann et al. 2024",
        ge=1,
    )
    auxiliary_weight: float = setting(
        1 / 32, doc="batch_topk: weight of that auxiliary loss.", source="Gao et al. 2024", ge=0
    )
    dead_tokens: int = setting(
        10_000_000,
        doc="batch_topk: a feature that did not fire for so long is dead.",
        unit="tokens",
        source="Gao et al. 2024",
        ge=1,
    )
    jump_threshold: float = setting(
        3.0,
        doc="jumprelu: every threshold at the start, for activations of norm √d; needs decoder_norm near 1.",
        source="ours: at λ 5 all planted features of two and three models are found and named, at an L0 within 5 % of "
        "the true one; from a threshold of 2 a sixth are not",
        ge=0,
    )
    jump_bandwidth: float = setting(
        2.0,
        doc="jumprelu: width ε around a threshold whose preactivations feel it.",
        source="Anthropic January 2025 update: at activations of norm √d",
        gt=0,
    )
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", doc="Of the matrix products. Weights, gradients and optimizer are fp32 always.", source="ours"
    )
    batch: int = setting(1024, doc="Tokens of a training step.", unit="tokens", source="docs/study.md, settings", ge=1)
    learning_rate: float = setting(
        1e-4, doc="Adam's learning rate at its peak.", source="docs/study.md, settings", gt=0
    )
    epochs: int = setting(
        1,
        doc="Passes over the training tokens, each in an order of its own.",
        unit="epochs",
        source="docs/study.md",
        ge=1,
    )
    buffer_sequences: int = setting(
        512,
        doc="Sequences whose activations are mixed at a time: batches are drawn from so many, until none is left.",
        unit="sequences",
        source="ours: of a batch of 1024, two tokens of a sequence of 1024; 30 GB for eleven models of width 2560",
        ge=1,
    )
    sparsity_warmup: float = setting(
        0.05,
        doc="Share of the steps over which λ rises linearly from 0.",
        source="ours: paper silent; Anthropic crosscoder update, ckkissane/crosscoder-model-diff-replication",
        ge=0,
        le=1,
    )
    learning_rate_decay: float = setting(
        0.2,
        doc="Share of the steps, the last ones, over which the learning rate falls linearly to 0.",
        source="ours: paper silent; ckkissane/crosscoder-model-diff-replication",
        ge=0,
        le=1,
    )
    max_gradient_norm: float = setting(
        1.0,
        doc="Gradients of a larger total norm are scaled down to it.",
        source="ours: paper silent; ckkissane/crosscoder-model-diff-replication",
        gt=0,
    )
    decoder_norm: float = setting(
        0.08, doc="Norm of each decoder row at the start.", source="docs/study.md, symbols", gt=0
    )
    log_interval: int = setting(50, doc="Steps between points of the curves.", unit="steps", source="ours", ge=1)
    resume_interval: int = setting(
        5000, doc="Steps between resume points.", unit="steps", source="ours: minutes of work on one H200", ge=1
    )
    dense_rate: float = setting(
        0.1, doc="A feature that fires on a larger share of held-out tokens counts as dense.", source="ours", gt=0, le=1
    )
    splice_sequences: int = setting(
        128,
        doc="Evaluation sequences on which the loss recovered is measured; all if there are fewer.",
        unit="sequences",
        source="ours",
        ge=1,
    )
    splice_batch: int = setting(
        8, doc="Sequences in one forward pass of that measurement.", unit="sequences", source="ours", ge=1
    )

    @model_validator(mode="after")
    def _models_are_several_and_different(self) -> "CrosscoderSettings":
        if len(self.models) < 2 or len(set(self.models)) < len(self.models):
            raise ValueError(f"models: {', '.join(self.models) or 'none'}: name at least two models, each once")
        return self

    @model_validator(mode="after")
    def _jumprelu_starts_with_active_features(self) -> "CrosscoderSettings":
        """At the start a preactivation is `decoder_norm` times the activations along one direction."""
        if self.activation == "jumprelu" and self.jump_threshold > 10 * self.decoder_norm:
            raise ValueError(
                f"decoder_norm {self.decoder_norm:g} with jump_threshold {self.jump_threshold:g}: no feature would "
                "ever be active; set decoder_norm to 1"
            )
        return self

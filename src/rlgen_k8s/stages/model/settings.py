"""Settings of the stage `model`."""

from typing import Literal, Self

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting

OURS = "ours: the tiny study's trial"


class ModelSettings(StageSettings):
    """Where a model comes from; the rest says how a small one is pre-trained."""

    seed: int = seed_setting()
    source: Literal["pretrain", "folder", "hub"] = setting(
        "pretrain",
        doc="pretrain: a small Qwen3 from scratch on the mirror's texts. folder: a model of yours. hub: a model of the "
        "Hugging Face hub.",
        source="ours",
    )
    path: str | None = setting(
        None,
        doc="With source folder: a model in Hugging Face format, tokenizer with chat template included.",
        source="ours",
        min_length=1,
    )
    contents: str = setting(
        "", doc="SHA-256 of what `path` holds; filled from the folder.", source="ours", filled="set path"
    )
    repository: str | None = setting(
        None, doc="With source hub: the model, <org>/<name>.", source="the hub", pattern=r"^[^/\s]+/[^/\s]+$"
    )
    revision: str | None = setting(
        None, doc="With source hub: the commit, tag or branch to take.", source="the hub", min_length=1
    )
    chat_template: Literal["own", "chatml", "llama3"] = setting(
        "own",
        doc="own: the model's. chatml, llama3: with source folder or hub, plain turns in its place, without a system "
        "message or a date. It must build the prompt that sft.template builds.",
        source="ours",
    )
    text: tuple[str, ...] = setting(
        ("rlgen/tiny-pretraining",), doc="Sets of the mirror to train on (column `text`).", source=OURS, min_length=1
    )
    tokenizer_text: str = setting(
        "rlgen/tiny-pretraining",
        doc="Set that the tokenizer is made from; models that share it share their tokenizer.",
        source=OURS,
    )
    vocabulary: int = setting(
        768, doc="Most tokens of the vocabulary, 256 bytes included.", unit="tokens", source=OURS, ge=300
    )
    layers: int = setting(4, doc="Layers.", unit="layers", source="ours: layers // 2 is the middle", ge=2)
    width: int = setting(64, doc="Width of the residual stream; heads have 32 dimensions.", source=OURS, ge=32)
    steps: int = setting(1200, doc="Optimizer steps.", unit="steps", source=OURS, ge=1)
    batch: int = setting(16, doc="Rows of one step.", unit="rows", source=OURS, ge=1)
    length: int = setting(128, doc="Length of a row of packed texts.", unit="tokens", source=OURS, ge=8)
    muon_learning_rate: float = setting(
        0.02, doc="Peak learning rate of Muon, for the matrices inside the layers.", source=OURS, gt=0
    )
    adam_learning_rate: float = setting(
        4e-3, doc="Peak learning rate of AdamW, for the embedding and the norms.", source=OURS, gt=0
    )
    resume_steps: int = setting(250, doc="Steps between two resume points.", unit="steps", source="ours", ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "folder" and self.path is None:
            raise ValueError("path: missing; source folder needs the folder that holds the model")
        if self.source != "folder" and self.path is not None:
            raise ValueError(
                f"path {self.path}: source {self.source} reads no folder; drop the path or set source to folder"
            )
        for name in ("repository", "revision"):
            if (self.source == "hub") != (getattr(self, name) is not None):
                raise ValueError(f"{name}: give it with source hub and with no other")
        if self.source == "pretrain" and self.chat_template != "own":
            raise ValueError("chat_template: source pretrain has one of its own; drop it")
        if self.width % HEAD:
            raise ValueError(f"width {self.width}: expected a multiple of {HEAD}, the width of a head")
        return self


HEAD = 32
"""Width of an attention head: the narrowest that vLLM takes."""

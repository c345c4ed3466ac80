"""Settings of the stage `mirror`."""

from typing import Literal, Self

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting

OURS = "ours: the tiny study's cost"

NEEDED = (
    "DigitalLearningGmbH/MATH-lighteval",
    "agentica-org/DeepScaleR-Preview-Dataset",
    "open-thoughts/OpenThoughts-114k",
    "togethercomputer/RedPajama-Data-1T-Sample",
    "allenai/openbookqa",
    "tau/commonsense_qa",
    "EleutherAI/headqa",
    "allenai/sciq",
    "allenai/ai2_arc",
    "EleutherAI/logiqa",
    "baber/piqa",
    "HuggingFaceH4/MATH-500",
    "Maxwell-Jia/AIME_2024",
    "math-ai/aime25",
)
"""What a full study reads: problems, the two corpora, the ten evaluation sets."""


class MirrorSettings(StageSettings):
    """Where the data sets come from, and how large the made-up ones are."""

    seed: int = seed_setting()
    kind: Literal["world", "folder", "hub"] = setting(
        "world",
        doc="world: make every set up from the seed. folder: take the real ones from a folder in the hub's layout. "
        "hub: from the Hugging Face hub.",
        source="ours",
    )
    path: str | None = setting(
        None,
        doc="With kind folder: holds <org>/<name>/README.md and parquet files for every set.",
        source="ours",
        min_length=1,
    )
    contents: str = setting(
        "", doc="SHA-256 of what `path` holds; filled from the folder.", source="ours", filled="set path"
    )
    revisions: dict[str, str] = setting(
        {},
        doc="With kind hub: of every set, <org>/<name>, the commit, tag or branch to take.",
        source="the hub",
    )
    problems: int = setting(
        2000, doc="Rows of MATH's training split, and of DeepScaleR.", unit="problems", source=OURS, ge=1
    )
    math500: int = setting(500, doc="Problems of MATH-500.", unit="problems", source="MATH-500", ge=1)
    questions: int = setting(
        1000, doc="Items of the evaluated split of each multiple-choice set.", unit="items", source=OURS, ge=1
    )
    conversations: int = setting(4000, doc="Rows of OpenThoughts.", unit="rows", source=OURS, ge=1)
    pages: int = setting(4000, doc="Rows of RedPajama's sample.", unit="rows", source=OURS, ge=1)
    pretraining: int = setting(
        60000, doc="Texts of rlgen/tiny-pretraining, for the base model.", unit="rows", source=OURS, ge=1
    )
    teaching: int = setting(60000, doc="Texts of rlgen/tiny-teaching, for the teacher.", unit="rows", source=OURS, ge=1)

    @model_validator(mode="after")
    def _path_with_folder(self) -> Self:
        if self.kind == "folder" and self.path is None:
            raise ValueError("path: missing; kind folder needs the folder that holds the data sets")
        if self.kind != "folder" and self.path is not None:
            raise ValueError(f"path {self.path}: kind {self.kind} reads no folder; drop the path or set kind to folder")
        if (self.kind == "hub") != bool(self.revisions):
            raise ValueError("revisions: give them with kind hub and with no other")
        if self.kind == "hub" and (missing := [name for name in NEEDED if name not in self.revisions]):
            raise ValueError(f"revisions: has none for {', '.join(missing)}; a study reads all of these sets")
        return self

"""Settings of the stage `intervene`."""

from typing import Literal, get_args

from pydantic import model_validator

from rlgen_k8s.lm.harness.names import MultipleChoiceTask
from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting

UNSEEN: tuple[MultipleChoiceTask, ...] = ("logiqa", "piqa")


class InterveneSettings(StageSettings):
    """What is done to the features, where, and what it is compared with.

    The residual stream is edited at every token position, prompt and answer: the paper is silent on this.
    """

    seed: int = seed_setting()
    direction: Literal["zero", "raise"] = setting(
        "zero",
        doc='"zero": features to 0, in the RL model; "raise": to `value`, in the base model. Filled by the DAG.',
        source="paper 8",
        filled="leave it out: both are made",
    )
    value: float = setting(
        3.0,
        doc="What features are raised to.",
        unit="feature activation at scale E|x| = sqrt(d)",
        source="paper 8",
        gt=0,
    )
    doses: tuple[float, ...] = setting(
        (0.25, 0.5),
        doc="Parts of the way from a feature's own activation to 0 or to `value`, to see a dose-response.",
        unit="share of the intervention",
        source="ours: docs/study.md, weakness 1",
    )
    tasks: tuple[MultipleChoiceTask, ...] = setting(
        tuple(task for task in get_args(MultipleChoiceTask) if task not in UNSEEN),
        doc="Tasks the features were selected on.",
        source="paper 4",
        min_length=1,
    )
    unseen_tasks: tuple[MultipleChoiceTask, ...] = setting(
        UNSEEN, doc="Tasks kept out of the selection.", source="paper B.4"
    )
    paper_protocol: bool = setting(
        True,
        doc="Also intervene by the paper's own protocol: on features selected on all critical samples, measured on the "
        "same samples.",
        source="paper 7, 8; docs/study.md, weakness 1",
    )
    random_features: int = setting(
        5,
        doc="Sets of random features, matched in norm and firing rate, to compare with (as many as `analyse` drew).",
        unit="sets",
        source="ours: docs/study.md, weakness 1",
        ge=1,
    )
    random_directions: int = setting(
        5,
        doc="Random directions to compare with, each moved along by as much as the intervention moves at that token.",
        unit="directions",
        source="ours: docs/study.md, weakness 1",
        ge=1,
    )
    loss_sequences: int = setting(
        256, doc="Sequences of ordinary text on which the loss is measured.", unit="sequences", source="ours", ge=1
    )
    feature_sequences: int = setting(
        32,
        doc="Of these, sequences on which each feature of interest is edited alone, for its page in the report.",
        unit="sequences",
        source="ours",
        ge=1,
    )
    tokens_per_batch: int = setting(32768, doc="Tokens in one forward pass.", unit="tokens", source="ours", ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "InterveneSettings":
        both = sorted(set(self.tasks) & set(self.unseen_tasks))
        if both:
            raise ValueError(f"unseen_tasks: {', '.join(both)} also in `tasks`; a task is selected on or kept out")
        outside = [dose for dose in self.doses if not 0 < dose < 1]
        if outside:
            raise ValueError(f"doses: {outside[0]} is not between 0 and 1; 1 is the intervention itself")
        return self

"""What is told to MLflow, as it travels through the spool: one JSON object a line, pydantic models here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Status = Literal["done", "failed", "killed"]


class Node(BaseModel):
    """One task of a submission's plan: where its result is, and whether it was there already."""

    model_config = ConfigDict(frozen=True)

    task: str
    address: str
    verdict: Literal["hit", "run"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    id: str
    """`<writer>:<number>`, unique and ordered within a writer."""
    at: int
    """Unix time in ms."""


class SubmissionOpened(_Event):
    """A study was submitted."""

    kind: Literal["submission"] = "submission"
    submission: str
    study: str
    settings: dict[str, Any]
    nodes: tuple[Node, ...]
    tags: dict[str, str]


class StageOpened(_Event):
    """An attempt at a stage began."""

    kind: Literal["stage"] = "stage"
    submission: str
    task: str
    stage: str
    key: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    """An address (`stage/key` or `stage/key/sub/path`) by the input's name."""
    tags: dict[str, str]


class Logged(_Event):
    """Points on curves, or final figures (step None)."""

    kind: Literal["metrics"] = "metrics"
    metrics: dict[str, float]
    step: int | None


class Finished(_Event):
    """The end of a submission or of an attempt, with the files it published, and what is to be said about it."""

    kind: Literal["finish"] = "finish"
    status: Status
    files: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    """Figures about the attempt itself: seconds, GPU-seconds."""
    message: str = ""


Event = Annotated[SubmissionOpened | StageOpened | Logged | Finished, Field(discriminator="kind")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)

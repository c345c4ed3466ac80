"""What a stage is given and what it owes.

A stage is a function `run(context)`: it reads the folders in `context.inputs`, writes its whole result into
`context.out` and returns. It knows no scheduler, no address and no key: the frame around it fetches inputs,
restores resume points, reports progress, publishes and tracks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from rlgen_k8s.stages.settings import StageSettings

CHECKPOINTS = 5
"""Checkpoints of SFT and of RL, one each 1/5 epoch (paper 5.2). The figures of the report are drawn for five."""

S = TypeVar("S", bound=StageSettings)


@dataclass(frozen=True)
class ResumePoint:
    """A whole, verified state saved by an earlier attempt: its step and its folder, whose files may be moved but not
    written to."""

    step: int
    path: Path


class Resume(Protocol):
    """Resume points of this stage's key, in the store."""

    def newest(self) -> ResumePoint | None:
        """The newest whole point, or None. A truncated or altered one is passed over, and said so."""

    def save(self, step: int, folder: Path) -> None:
        """Copy `folder` into the store as the point `step`; visible only once it is whole."""

    def part(self, name: str) -> "Resume":
        """Points of one part of the work, apart from the others: saving one copies nothing but that part."""


@dataclass(frozen=True)
class Context(Generic[S]):
    """Everything a stage may touch."""

    settings: S
    inputs: Mapping[str, Path]
    """Verified result folders (or sub-folders of results), by the name the DAG gives them. Read-only."""
    out: Path
    """An empty folder. Every file in it is published when `run` returns."""
    scratch: Path
    """An empty folder on local disk with a short path, removed afterwards."""
    resume: Resume
    progress: Callable[[int, int], None]
    """`progress(done, total)`: shown as a bar here and as N/M in Argo's UI."""
    metrics: Callable[[Mapping[str, float], int | None], None]
    """`metrics({"loss": 1.2}, step)`: a point on this stage's curves; step None for a final figure."""

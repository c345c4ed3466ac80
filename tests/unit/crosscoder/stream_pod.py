"""One of several pods that run the stage `stream`, as a process of this machine."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlgen_k8s.stages.contract import Resume, ResumePoint
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.stream.run import run
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.stages.stream.team import PROCESSES

KILLED = 66


@dataclass(frozen=True)
class Pod:
    """Which of two it is, where they meet, and its work; results and what it tells are in files of `folder`."""

    rank: int
    processes: int
    address: str
    settings: StreamSettings
    inputs: Mapping[str, Path]
    folder: Path
    attempt: str
    stop_at: int | None


@dataclass(frozen=True)
class Helping:
    """Resume points as a pod that helps has them."""

    points: Resume

    def newest(self) -> ResumePoint | None:
        return self.points.newest()

    def save(self, step: int, folder: Path) -> None:
        """Left to the first pod."""

    def part(self, name: str) -> Resume:
        return self.points.part(name)


def pod(one: Pod) -> None:
    """Run the stage; the first pod ends with `KILLED` once it is as far as `stop_at`."""
    host, port = one.address.split(":")
    os.environ |= {"NNODES": "2", "NODE_RANK": str(one.rank), "MASTER_ADDR": host, "MASTER_PORT": port}
    os.environ |= {PROCESSES: str(one.processes), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}

    def tell(*said: Any) -> None:
        with (one.folder / f"told-{one.rank}").open("a") as file:
            file.write(json.dumps(said) + "\n")

    def progress(done: int, total: int) -> None:
        tell("progress", done, total)
        if one.stop_at and done >= one.stop_at:
            os._exit(KILLED)

    context = local_context(one.settings, one.inputs, one.folder / "shared")  # both know the same resume points
    out = one.folder / f"{one.attempt}-{one.rank}"
    out.mkdir()
    run(
        replace(
            context,
            out=out,
            resume=Helping(context.resume) if one.rank else context.resume,
            progress=progress,
            metrics=lambda metrics, step: tell("metrics", dict(metrics), step),
        )
    )

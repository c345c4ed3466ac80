"""The processes of the stage, one a device: what they do together, and how they reach what the frame gave the stage.

The stage's own process has progress, metrics and resume points; the others ask it. A resume point is the state of all,
each process adding what is its own, and says nothing of how many they are: any number goes on from it.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from rlgen_k8s.crosscoder.stream import Ranks
from rlgen_k8s.crosscoder.stream.ranks import ALONE
from rlgen_k8s.errors import UserError
from rlgen_k8s.processes.ranks import Ask, run_ranks
from rlgen_k8s.stages.contract import Context, ResumePoint
from rlgen_k8s.stages.stream.settings import StreamSettings

PROCESSES = "RLGEN_PROCESSES"
TIMEOUT = timedelta(days=7)
"""Of torch.distributed. A process that ends is noticed at once, and one that hangs when the pod's patience is over."""


@dataclass(frozen=True)
class Team:
    """This process and the others."""

    ranks: Ranks
    tally: Callable[[], int]
    """Counts one more of what is to be counted over all processes; how many there are now."""


Work = Callable[[Context[StreamSettings], Team], None]


def process_count(environ: Mapping[str, str]) -> int:
    """One for each GPU; without any, as many as `RLGEN_PROCESSES` says (default: one)."""
    given = environ.get(PROCESSES) or "1"
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"{PROCESSES} {given!r}: expected a number of processes, 1 or more")
    return torch.cuda.device_count() or int(given)


def in_team(work: Work, context: Context[StreamSettings], count: int) -> None:
    """Do `work`, a module's function, in `count` processes, or here if it is one. See `run_ranks` for how it fails."""
    if count == 1:
        work(context, Team(ALONE, itertools.count(1).__next__))
        return
    shown = 0

    def progress(done: int, total: int) -> None:
        """All processes report; what is shown never falls."""
        nonlocal shown
        if done > shown:
            shown = done
            context.progress(done, total)

    answers: dict[str, Callable[..., Any]] = {
        "progress": progress,
        "metrics": context.metrics,
        "save": context.resume.save,
        "newest of part": lambda name: context.resume.part(name).newest(),
        "save part": lambda name, step, folder: context.resume.part(name).save(step, folder),
    }
    run_ranks(
        _work,
        (work, count, context.settings, context.inputs, context.out, context.scratch, context.resume.newest()),
        count,
        name="stream",
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count)),
            "GLOO_SOCKET_IFNAME": "lo",  # all are in one pod
        },
        answer=lambda question: answers[question[0]](*question[1:]),
    )


def _work(
    rank: int,
    ask: Ask,
    work: Work,
    count: int,
    settings: StreamSettings,
    inputs: Mapping[str, Path],
    out: Path,
    scratch: Path,
    point: ResumePoint | None,
) -> None:
    """One process's life."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
        backend = "cpu:gloo,cuda:nccl"
    store = torch.distributed.FileStore(str(scratch / "meet"), count)  # type: ignore[attr-defined]  # not in `__all__`
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    context = Context(
        settings=settings,
        inputs=inputs,
        out=out,
        scratch=scratch,
        resume=_Points(rank, ask, scratch, point),
        progress=lambda done, total: ask(("progress", done, total)),
        metrics=lambda metrics, step: ask(("metrics", metrics, step)),
    )
    work(context, Team(Ranks(rank, count, whole=True), lambda: store.add("tally", 1)))
    torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class _Points:
    """Resume points of all processes together."""

    rank: int
    ask: Ask
    scratch: Path
    point: ResumePoint | None

    def newest(self) -> ResumePoint | None:
        return self.point

    def save(self, step: int, folder: Path) -> None:
        """To be called by all, each with what is its own."""
        whole = self.scratch / f"point-{step}"
        whole.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.replace(whole / path.name)
        torch.distributed.barrier()
        if self.rank == 0:
            self.ask(("save", step, whole))
            shutil.rmtree(whole)

    def part(self, name: str) -> "_Part":
        return _Part(name, self.ask)


@dataclass(frozen=True)
class _Part:
    """Resume points of a part of the work that one process does."""

    name: str
    ask: Ask

    def newest(self) -> ResumePoint | None:
        point: ResumePoint | None = self.ask(("newest of part", self.name))
        return point

    def save(self, step: int, folder: Path) -> None:
        self.ask(("save part", self.name, step, folder))

    def part(self, name: str) -> "_Part":
        return _Part(f"{self.name}/{name}", self.ask)

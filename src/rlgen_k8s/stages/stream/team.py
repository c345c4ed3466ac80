"""The processes of the stage, one a device: what they do together, and how they reach what the frame gave the stage.

The stage's own process has progress, metrics and resume points; the others ask it. Where several pods share the work,
the first one's has them for all. A resume point is the state of all, each process adding what is its own, and says
nothing of how many they are: any number goes on from it.
"""

import itertools
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch.distributed import FileStore, Store, TCPStore  # type: ignore[attr-defined]  # not in `__all__`

from rlgen_k8s.crosscoder.stream import Ranks
from rlgen_k8s.crosscoder.stream.ranks import ALONE
from rlgen_k8s.errors import UserError
from rlgen_k8s.processes.gather import gather
from rlgen_k8s.processes.ranks import Ask, run_ranks
from rlgen_k8s.stages.contract import Context, ResumePoint
from rlgen_k8s.stages.gang import Gang
from rlgen_k8s.stages.stream.settings import StreamSettings

PROCESSES = "RLGEN_PROCESSES"
TIMEOUT = timedelta(days=7)
"""Of torch.distributed. A process that ends is noticed at once, and one that hangs when the pod's patience is over."""


TOLD = "told"
"""Key of what other pods' processes have to tell the first one, in the store where all meet."""


@dataclass(frozen=True)
class Team:
    """This process and the others."""

    ranks: Ranks
    pod: Ranks
    """Those of this pod, who share its disk."""
    tally: Callable[[], int]
    """Counts one more of what is to be counted over all processes; how many there are now."""


Work = Callable[[Context[StreamSettings], Team], None]


def process_count(environ: Mapping[str, str]) -> int:
    """Of a pod: one for each GPU; without any, as many as `RLGEN_PROCESSES` says (default: one)."""
    given = environ.get(PROCESSES) or "1"
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"{PROCESSES} {given!r}: expected a number of processes, 1 or more")
    return torch.cuda.device_count() or int(given)


def in_team(work: Work, context: Context[StreamSettings], count: int, gang: Gang) -> None:
    """Do `work`, a module's function, in `count` processes of each pod of `gang`, or here if it is one in all.

    See `run_ranks` for how it fails.
    """
    if count * gang.nodes == 1:
        work(context, Team(ALONE, ALONE, itertools.count(1).__next__))
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
        (work, count, gang, context.settings, context.inputs, context.out, context.scratch, context.resume.newest()),
        count,
        name="stream",
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count)),
            **({"GLOO_SOCKET_IFNAME": "lo"} if gang.nodes == 1 else {}),
        },
        answer=lambda question: answers[question[0]](*question[1:]),
    )


def _work(
    number: int,
    ask: Ask,
    work: Work,
    count: int,
    gang: Gang,
    settings: StreamSettings,
    inputs: Mapping[str, Path],
    out: Path,
    scratch: Path,
    point: ResumePoint | None,
) -> None:
    """One process's life."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(number)
        backend = "cpu:gloo,cuda:nccl"
    pod = Ranks(number, count, whole=True)
    ranks = Ranks(gang.rank * count + number, gang.nodes * count, whole=True)
    store = _meet(ranks, gang, scratch)
    torch.distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.count, timeout=TIMEOUT)
    first = _First(store, ask, ranks, gang)
    context = Context(
        settings=settings,
        inputs=inputs,
        out=out,
        scratch=scratch,
        resume=_Points(pod, ask, first, scratch, point),
        progress=lambda done, total: first.tell(("progress", done, total)),
        metrics=lambda metrics, step: first.tell(("metrics", metrics, step)),
    )
    work(context, Team(ranks, pod, lambda: store.add("tally", 1)))
    if gang.nodes > 1:
        gather(out, local_rank=number)
        first.hear()
        torch.distributed.barrier()  # the store of all is the first one's
    torch.distributed.destroy_process_group()


def _meet(ranks: Ranks, gang: Gang, scratch: Path) -> Store:
    """What all processes write to and read."""
    if gang.nodes > 1:
        return TCPStore(gang.address, gang.port, ranks.count, ranks.rank == 0, TIMEOUT)
    return FileStore(str(scratch / "meet"), ranks.count)


@dataclass(frozen=True)
class _First:
    """The first pod's stage, which has progress and metrics for all: its own pod's processes ask it, others leave word
    with the first process."""

    store: Store
    ask: Ask
    ranks: Ranks
    gang: Gang

    def tell(self, question: Any) -> None:
        if self.gang.helps:
            self.store.queue_push(TOLD, pickle.dumps(question))
        else:
            self.ask(question)
            self.hear()

    def hear(self) -> None:
        """Pass on, if this is the first process, what others have told by now."""
        while self.gang.nodes > 1 and self.ranks.rank == 0 and self.store.queue_len(TOLD):
            self.ask(pickle.loads(self.store.queue_pop(TOLD)))


@dataclass(frozen=True)
class _Points:
    """Resume points of all processes together."""

    pod: Ranks
    ask: Ask
    first: _First
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
        gather(whole, local_rank=self.pod.rank)
        self.first.hear()  # who goes on from here does not tell again what was told before
        if self.pod.rank == 0:
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

"""Rejection sampling: sample each problem until one response is right, in rounds, restartable after any chunk.

Shards take turns at the chunks, and a chunk has the same number in every division. So N shards together sample what one
would, and keep what one would.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rlgen_k8s.stages.contract import Resume

STATE = "state.json"


@dataclass(frozen=True)
class Problem:
    """A problem (as given to the teacher), and its answer."""

    id: str
    text: str
    answer: str


@dataclass(frozen=True)
class Shard:
    """One of `count` equal parts of the work, `index` from 0."""

    index: int = 0
    count: int = 1

    def of(self, problems: Sequence[Problem], size: int) -> list[Problem]:
        """Its part of the problems, whose chunks have `size` problems."""
        return [problem for i, problem in enumerate(problems) if i // size % self.count == self.index]


WHOLE = Shard()


@dataclass
class Sampled:
    """What has been sampled so far: responses kept by problem id, and the tries each took."""

    chunks: int = 0
    """Chunks done, over all rounds: where a restart goes on."""
    samples: int = 0
    kept: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)


Sample = Callable[[list[Problem], int, Callable[[int], None]], list[str | None]]
"""One response to each problem, None if it did not end, by (problems, number of the chunk, what hears how many there
are so far)."""


def chunks(
    problems: Sequence[Problem], done: Sampled, *, max_tries: int, size: int, shard: Shard
) -> Iterator[tuple[int, int, list[Problem]]]:
    """The work that `shard` has still to do, in order: (chunk's number, round, its problems without a right response).

    Every round goes through all problems in the same order, `size` at a time; what `done` holds when a chunk's turn
    comes decides which of them still need a sample. So the sequence after a restart is that of an uninterrupted run.
    """
    number = 0
    for this_round in range(1, max_tries + 1):
        for start in range(0, len(problems), size):
            number += 1
            if start // size % shard.count != shard.index:
                continue
            pending = [problem for problem in problems[start : start + size] if problem.id not in done.kept]
            if number > done.chunks and pending:
                yield number, this_round, pending


def sample_until_right(
    problems: Sequence[Problem],
    sample: Sample,
    is_right: Callable[[str, str], bool],
    *,
    max_tries: int,
    chunk: int,
    shard: Shard = WHOLE,
    resume: Resume,
    scratch: Path,
    on_chunk: Callable[[Sampled], None] = lambda done: None,
    on_response: Callable[[Sampled, int], None] = lambda done, more: None,
) -> Sampled:
    """At most one right response to a problem of `shard`, within `max_tries` samples each.

    `sample` depends on nothing but problems and chunk. The state is saved to `resume` after every chunk of problems.
    `on_response(done, more)` hears of responses that are not in the state yet.
    """
    done = restore(resume)
    for number, this_round, pending in chunks(problems, done, max_tries=max_tries, size=chunk, shard=shard):
        responses = sample(pending, number, partial(on_response, done))
        for problem, response in zip(pending, responses, strict=True):
            done.tries[problem.id] = this_round
            if response is not None and is_right(response, problem.answer):
                done.kept[problem.id] = response
        done.samples += len(pending)
        done.chunks = number
        save(resume, done, scratch)
        on_chunk(done)
    return done


def restore(resume: Resume) -> Sampled:
    """The state of the newest resume point, or an empty one."""
    point = resume.newest()
    return Sampled(**json.loads((point.path / STATE).read_text())) if point else Sampled()


def save(resume: Resume, done: Sampled, scratch: Path) -> None:
    """Save `done` as the resume point of its number of chunks."""
    folder = scratch / "state"
    folder.mkdir(exist_ok=True)
    (folder / STATE).write_text(json.dumps(vars(done)))
    resume.save(done.chunks, folder)

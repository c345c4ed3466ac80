import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from rlgen_k8s.stages.contract import Resume, ResumePoint
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.merge.run import run as merge
from rlgen_k8s.stages.merge.settings import MergeSettings
from rlgen_k8s.stages.traces.rejection import WHOLE, Problem, Sample, Sampled, Shard, sample_until_right
from rlgen_k8s.stages.traces.run import read_problems, write_kept
from rlgen_k8s.stages.traces.settings import TracesSettings

PROBLEMS = [Problem(f"p{i}", f"What is {i}+0?", str(i)) for i in range(50)]


class KilledError(Exception):
    pass


@dataclass(frozen=True)
class KillingResume:
    """Real resume points; the stage dies right after one of them is saved."""

    points: Resume
    killed_after: int

    def newest(self) -> ResumePoint | None:
        return self.points.newest()

    def save(self, step: int, folder: Path) -> None:
        self.points.save(step, folder)
        if step >= self.killed_after:
            raise KilledError


def teacher(asked: list[str]) -> Sample:
    """Right in a third of its responses; each says by whom and when it was given."""

    def sample(problems: list[Problem], number: int, tell: Callable[[int], None]) -> list[str | None]:
        chance = random.Random(number)
        asked.extend(problem.id for problem in problems)
        answers = [problem.answer if chance.random() < 1 / 3 else "none" for problem in problems]
        return [None if chance.random() < 0.1 else f"{number} {answer}" for answer in answers]

    return sample


def is_right(response: str, answer: str) -> bool:
    return response.split()[-1] == answer


def sample_all(
    folder: Path, asked: list[str], *, killed_after: int = 10**9, max_tries: int = 3, shard: Shard = WHOLE
) -> Sampled:
    context = local_context(TracesSettings(), {}, folder)
    return sample_until_right(
        PROBLEMS,
        teacher(asked),
        is_right,
        max_tries=max_tries,
        chunk=8,
        shard=shard,
        resume=KillingResume(context.resume, killed_after),
        scratch=context.scratch,
    )


def test_only_right_and_whole_responses_are_kept_and_none_is_sampled_again(tmp_path: Path) -> None:
    asked: list[str] = []
    done = sample_all(tmp_path, asked)
    assert 0 < len(done.kept) < len(PROBLEMS)
    for problem in PROBLEMS:
        tries = asked.count(problem.id)
        assert done.tries[problem.id] == tries
        if problem.id in done.kept:
            assert is_right(done.kept[problem.id], problem.answer)
        else:
            assert tries == 3
    assert done.samples == len(asked)


def test_more_tries_keep_more_problems_and_lose_none(tmp_path: Path) -> None:
    few, many = sample_all(tmp_path / "few", [], max_tries=1), sample_all(tmp_path / "many", [], max_tries=5)
    assert few.kept.items() < many.kept.items()


@pytest.mark.parametrize("killed_after", [1, 4, 7, 12])
def test_killed_after_any_chunk_the_restart_gives_what_an_uninterrupted_run_gives(
    tmp_path: Path, killed_after: int
) -> None:
    asked_at_once: list[str] = []
    at_once = sample_all(tmp_path / "once", asked_at_once)
    asked: list[str] = []
    with pytest.raises(KilledError):
        sample_all(tmp_path / "killed", asked, killed_after=killed_after)
    assert 0 < len(asked) < len(asked_at_once)
    assert sample_all(tmp_path / "killed", asked) == at_once
    assert asked == asked_at_once


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_together_give_what_one_pod_gives(tmp_path: Path, count: int) -> None:
    whole = sample_all(tmp_path / "whole", [])
    parts = [sample_all(tmp_path / str(i), [], shard=Shard(i, count)) for i in range(count)]
    assert all(part.samples for part in parts)
    for field in ("kept", "tries"):
        merged = [item for part in parts for item in getattr(part, field).items()]
        assert len(merged) == len(dict(merged))
        assert dict(merged) == getattr(whole, field)

    write_kept(tmp_path, PROBLEMS, whole)
    pd.DataFrame({"id": [p.id for p in PROBLEMS], "problem": "", "answer": ""}).to_parquet(
        tmp_path / "problems.parquet"
    )
    inputs = {"problems": tmp_path}
    for i, part in enumerate(parts):
        inputs[f"shard-{i + 1}"] = folder = tmp_path / f"shard-{i}"
        folder.mkdir()
        write_kept(folder, Shard(i, count).of(PROBLEMS, 8), part)
    merge(local_context(MergeSettings(of="traces"), inputs, tmp_path / "merged"))
    for file in ("traces.jsonl", "traces.json", "dataset_info.json"):
        assert (tmp_path / "merged" / file).read_bytes() == (tmp_path / file).read_bytes()


def test_traces_are_written_in_the_order_of_the_problems_with_what_was_rejected(tmp_path: Path) -> None:
    done = sample_all(tmp_path / "work", [])
    write_kept(tmp_path, PROBLEMS, done)
    records = [json.loads(line) for line in (tmp_path / "traces.jsonl").read_text().splitlines()]
    assert [record["id"] for record in records] == [problem.id for problem in PROBLEMS if problem.id in done.kept]
    for record in records:
        human, gpt = record["conversations"]
        problem = PROBLEMS[int(record["id"][1:])]
        assert human == {"from": "human", "value": problem.text}
        assert gpt == {"from": "gpt", "value": done.kept[problem.id]}
    summary = json.loads((tmp_path / "traces.json").read_text())
    assert summary["accepted"] == len(records) == sum(summary["tries"].values())
    assert summary["given_up"] == len(PROBLEMS) - len(records)
    assert summary["rate"] == len(records) / summary["sampled"]
    wrong = sum(int(tries) * n for tries, n in summary["tries"].items()) + 3 * summary["given_up"]
    assert summary["sampled"] == wrong


def test_problems_are_read_in_their_order(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"source": "MATH", "answer": ["1", "2"], "problem": ["one", "two"], "id": ["b", "a"]},
    )
    table.to_parquet(tmp_path / "problems.parquet")
    assert read_problems(tmp_path) == [Problem("b", "one", "1"), Problem("a", "two", "2")]

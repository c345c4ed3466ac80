"""The files of a result of `traces`, and of several merged into one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rlgen_k8s.stages.traces.rejection import Problem

TRACES, SUMMARY = "traces.jsonl", "traces.json"
DATASET = {
    "traces": {"file_name": TRACES, "formatting": "sharegpt", "columns": {"messages": "conversations"}},
}
"""What LLaMA-Factory is told of them."""


@dataclass(frozen=True)
class Counts:
    """How many problems, how many samples of them, and how many were kept after 1, 2, … tries."""

    problems: int
    sampled: int
    tries: Mapping[int, int]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the whole."""
        accepted = sum(self.tries.values())
        return {
            "problems": self.problems,
            "sampled": self.sampled,
            "accepted": accepted,
            "rate": accepted / self.sampled,
        }


def trace(problem: Problem, response: str) -> str:
    """A line of `traces.jsonl`."""
    turns = [("human", problem.text), ("gpt", response)]
    record = {"id": problem.id, "conversations": [{"from": who, "value": text} for who, text in turns]}
    return json.dumps(record, ensure_ascii=False) + "\n"


def write(out: Path, traces: Iterable[str], counts: Counts) -> None:
    """The three files of the result: `traces` are lines in the order of the problems."""
    with (out / TRACES).open("w") as file:
        file.writelines(traces)
    (out / "dataset_info.json").write_text(json.dumps(DATASET, indent=1))
    summary = {
        **counts.metrics,
        "tries": dict(sorted(counts.tries.items())),
        "given_up": counts.problems - sum(counts.tries.values()),
    }
    (out / SUMMARY).write_text(json.dumps(summary, indent=1))

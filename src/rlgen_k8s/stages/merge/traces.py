"""Traces of all shards."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlgen_k8s.stages.traces.files import SUMMARY, TRACES, Counts, write
from rlgen_k8s.stages.traces.run import read_problems


def merge(shards: list[Path], inputs: Mapping[str, Path], out: Path) -> dict[str, float]:
    """What `traces` writes; the input `problems` gives the order."""
    found: dict[str, str] = {}
    for folder in shards:
        with (folder / TRACES).open() as file:
            found |= {json.loads(line)["id"]: line for line in file}
    counts = total([json.loads((folder / SUMMARY).read_text()) for folder in shards])
    order = [problem.id for problem in read_problems(inputs["problems"])]
    write(out, (found[id] for id in order if id in found), counts)
    return counts.metrics


def total(summaries: list[dict[str, Any]]) -> Counts:
    """The counts of all shards together."""
    tries: Counter[int] = Counter()
    for summary in summaries:
        tries.update({int(n): count for n, count in summary["tries"].items()})
    problems, sampled = (sum(summary[name] for summary in summaries) for name in ("problems", "sampled"))
    return Counts(problems, sampled, tries)

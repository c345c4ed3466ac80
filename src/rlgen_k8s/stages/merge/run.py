"""The traces of all shards as one result: the one that a single pod would have written."""

import json
from collections import Counter
from typing import Any

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.merge.settings import MergeSettings
from rlgen_k8s.stages.traces.files import SUMMARY, TRACES, Counts, write
from rlgen_k8s.stages.traces.run import read_problems


def run(context: Context[MergeSettings]) -> None:
    """Write what `traces` writes, of the inputs `shard-1`, `shard-2`, …; `problems` gives the order."""
    shards = [folder for name, folder in context.inputs.items() if name.startswith("shard-")]
    found: dict[str, str] = {}
    for folder in shards:
        with (folder / TRACES).open() as file:
            found |= {json.loads(line)["id"]: line for line in file}
    counts = total([json.loads((folder / SUMMARY).read_text()) for folder in shards])
    order = [problem.id for problem in read_problems(context.inputs["problems"])]
    write(context.out, (found[id] for id in order if id in found), counts)
    context.metrics(counts.metrics, None)


def total(summaries: list[dict[str, Any]]) -> Counts:
    """The counts of all shards together."""
    tries: Counter[int] = Counter()
    for summary in summaries:
        tries.update({int(n): count for n, count in summary["tries"].items()})
    problems, sampled = (sum(summary[name] for summary in summaries) for name in ("problems", "sampled"))
    return Counts(problems, sampled, tries)

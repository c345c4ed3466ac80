"""The files of a result of `evaluate`, and of several merged into one."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rlgen_k8s.lm.harness.names import TASKS
from rlgen_k8s.lm.harness.samples import Sample, write_samples
from rlgen_k8s.lm.harness.scores import scores

RESULTS, SAMPLES = "results.json", "samples.parquet"


def write(out: Path, samples: Iterable[Sample]) -> dict[str, float]:
    """Both files of the result, in the order of tasks and samples; the metrics to show."""
    tasks: list[str] = [*TASKS]
    ordered = sorted(samples, key=lambda sample: (tasks.index(sample.task), sample.doc_id))
    figures = scores(ordered)
    (out / RESULTS).write_text(json.dumps({task: asdict(one) for task, one in figures.items()}, indent=1))
    write_samples(out / SAMPLES, ordered)
    return {f"{task}/{one.metric}": one.mean for task, one in figures.items()}

"""What a model answered, sample by sample, and as a parquet file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("doc_id", pa.int32()),
        ("outcome", pa.float64()),
        ("outcome_normalized", pa.float64()),
        ("prompt", pa.string()),
        ("choice", pa.int32()),
        ("gold", pa.string()),
        ("loglikelihoods", pa.list_(pa.float64())),
        ("responses", pa.list_(pa.string())),
        ("correct", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class Sample:
    """One item of a task, as the model answered it."""

    task: str
    doc_id: int
    outcome: float
    """1 right, 0 wrong; for maths the share of right responses."""
    outcome_normalized: float | None
    """The harness's `acc_norm`, where the task has it: log-likelihoods per character."""
    prompt: str
    """What the model was given, up to the answer."""
    choice: int
    """The option with the highest log-likelihood; -1 for maths."""
    gold: str
    """The right option's text, or the right final answer."""
    loglikelihoods: list[float]
    """One for each option; empty for maths."""
    responses: list[str]
    """Empty for multiple choice."""
    correct: list[float]
    """Outcome of each response; empty for multiple choice."""


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write `samples` to `path`, one row each, columns as the fields of `Sample`."""
    pq.write_table(pa.Table.from_pylist([asdict(sample) for sample in samples], schema=SCHEMA), path)


def read_samples(path: Path) -> list[Sample]:
    """What `write_samples` wrote to `path`."""
    return [Sample(**row) for row in pq.read_table(path).to_pylist()]

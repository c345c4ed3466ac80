"""Samples as a parquet file."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rlgen_k8s.lm.harness.score import Sample

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


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write `samples` to `path`, one row each, columns as the fields of `Sample`."""
    pq.write_table(pa.Table.from_pylist([asdict(sample) for sample in samples], schema=SCHEMA), path)

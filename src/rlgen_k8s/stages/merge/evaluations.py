"""Samples of all shards."""

from collections.abc import Mapping
from pathlib import Path

from rlgen_k8s.lm.harness.samples import read_samples
from rlgen_k8s.stages.evaluate.files import SAMPLES, write


def merge(shards: list[Path], inputs: Mapping[str, Path], out: Path) -> dict[str, float]:
    """What `evaluate` writes."""
    return write(out, (sample for folder in shards for sample in read_samples(folder / SAMPLES)))

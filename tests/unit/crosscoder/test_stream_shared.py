"""Two processes (gloo) that share a stream end where one process ends."""

import os
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from rlgen_k8s.crosscoder.stream import Ranks
from rlgen_k8s.processes.child import run_child

TOLERANCE = 1e-4
"""Of a tensor's norm: rounding, carried on by Adam over about thirty steps."""


@pytest.fixture(scope="module")
def states(
    corpus: Path, model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Tensor]]:
    """By "count-rank"."""
    folder = tmp_path_factory.mktemp("shared")
    script = str(Path(__file__).with_name("shared_training.py"))
    argv = [sys.executable, script, str(folder), str(corpus), *map(str, model_folders.values())]
    run_child(argv, name="training", env=os.environ)
    return {path.stem: load_file(path) for path in folder.glob("*.safetensors")}


def test_both_processes_hold_the_same_bits(states: dict[str, dict[str, Tensor]]) -> None:
    assert states["2-0"].keys() == states["2-1"].keys()
    for name, tensor in states["2-0"].items():
        assert tensor.equal(states["2-1"][name]), name


def test_two_processes_give_the_result_of_one(states: dict[str, dict[str, Tensor]]) -> None:
    alone, shared = states["1-0"], states["2-0"]
    assert alone.keys() == shared.keys()
    worst = {name: float((shared[name] - alone[name]).double().norm() / alone[name].double().norm()) for name in alone}
    print("largest differences:", sorted(worst.items(), key=lambda item: -item[1])[:6])
    assert max(worst.values()) < TOLERANCE


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (3, 4), (5, 5), (12, 31)])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_are_those_draws_whose_position_leaves_the_rank(start: int, stop: int, count: int) -> None:
    for rank in range(count):
        assert Ranks(rank, count).share(start, stop) == sum(at % count == rank for at in range(start, stop))

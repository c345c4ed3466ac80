"""Which crosscoder goes to which device: each once, none beyond its memory, and near the best that there is."""

from itertools import product

import numpy as np
import pytest

from rlgen_k8s.cost.placement import Load, place
from rlgen_k8s.errors import UserError

PLENTY = float("inf")


def loads(costs, memory=1.0):
    return {f"c{n}": Load(memory, cost, frozenset({"base", f"m{n}"})) for n, cost in enumerate(costs)}


def busiest(costs, devices):
    """Of all ways, the one whose busiest device has the least to do."""
    ways = product(range(devices), repeat=len(costs))
    return min(max(sum(c for c, d in zip(costs, way, strict=True) if d == k) for k in range(devices)) for way in ways)


@pytest.mark.parametrize("devices", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_each_is_placed_once_and_the_busiest_device_is_near_the_best(devices, seed):
    costs = np.random.default_rng(seed).integers(1, 20, 6).tolist()
    asked = loads(costs)
    placed = place(asked, [PLENTY] * devices, 1.0)
    assert sorted(name for names in placed for name in names) == sorted(asked)
    work = max(sum(asked[name].cost for name in names) for names in placed)
    assert work <= (4 / 3 - 1 / (3 * devices)) * busiest(costs, devices)  # Graham 1969


def test_the_study_s_eleven_on_eight_gpus_leave_no_gpu_idle():
    """Ten of two models and one of three: three GPUs have to take two, and that is four models at least."""
    asked = loads([2.0] * 10 + [3.0])
    placed = place(asked, [PLENTY] * 8, 1.0)
    assert sorted(sum(asked[name].cost for name in names) for names in placed) == [2, 2, 2, 2, 3, 4, 4, 4]
    assert place(asked, [PLENTY] * 8, 1.0) == placed


@pytest.mark.parametrize("seed", range(5))
def test_no_device_is_filled_beyond_what_is_free(seed):
    generator = np.random.default_rng(seed)
    names = ["base", "a", "b", "c"]
    asked = {
        f"c{n}": Load(
            float(generator.integers(1, 5)),
            float(generator.integers(1, 5)),
            frozenset(generator.choice(names, 2, replace=False).tolist()),
        )
        for n in range(7)
    }
    free = [20.0, 30.0, 40.0]
    for device, placed in enumerate(place(asked, free, 1.5)):
        read = {model for name in placed for model in asked[name].reads}
        assert sum(asked[name].memory for name in placed) + 1.5 * len(read) <= free[device]


def test_of_two_idle_devices_the_one_with_room_is_taken_and_models_are_held_once():
    asked = {name: Load(1.0, 1.0, frozenset({"base", "sft"})) for name in ("one", "two")}
    assert place(asked, [2.0, 9.0], 3.0) == [(), ("one", "two")]


def test_what_fits_nowhere_is_refused_with_what_to_change():
    asked = loads([1.0] * 3, memory=40e9)
    with pytest.raises(UserError, match=r"^crosscoder c0: needs 60\.0 GB of a device, 20\.0 of it .* 50\.0 GB free; "):
        place(asked, [50e9, 50e9], 10e9)
    with pytest.raises(
        UserError,
        match=r"^crosscoder c2: needs 60\.0 GB .* none of 2 .*; raise pods\.stream\.gpus or pods\.stream\.nodes, or ",
    ):
        place(asked, [70e9, 70e9], 10e9)

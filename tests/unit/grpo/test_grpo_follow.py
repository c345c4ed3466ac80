"""What verl saves becomes checkpoints and resume points; verl's files are written here as verl writes them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.grpo.follow import CURVES, Follower
from rlgen_k8s.stages.grpo.settings import GrpoSettings

CHECKPOINTS = [4, 8, 12, 16, 20]
SAVES = [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def follower(out: Path) -> Follower:
    return Follower(local_context(GrpoSettings(precision="fp32"), {}, out), CHECKPOINTS, SAVES)


def train(follow: Follower, first: int, last: int) -> None:
    """verl's files of these steps: what it saves after one, and then the line of its log."""
    for step in range(first, last + 1):
        if step in SAVES:
            state = follow.checkpoints / f"global_step_{step}"
            model = state / "actor" / "huggingface"
            model.mkdir(parents=True)
            (state / "actor" / "optim.pt").write_text(f"moments of {step}")
            (model / "config.json").write_text("{}")
            save_file({"weights": torch.tensor([float(step)])}, model / "model.safetensors")
            (follow.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))
        with follow.log.open("a") as log:
            log.write(json.dumps({"step": step, "data": dict.fromkeys(CURVES.values(), float(step))}) + "\n")


def again(out: Path) -> Follower:
    """The next attempt, which starts with an empty folder."""
    out.rename(out.with_name("earlier"))
    return follower(out)


def points(out: Path) -> list[int]:
    return sorted({int(path.parent.name[:12]) for path in out.with_name("out.resume").rglob("manifest.json")})


def published(out: Path) -> dict[str, float]:
    return {path.parent.name: load_file(path)["weights"].item() for path in out.rglob("model.safetensors")}


def test_between_two_checkpoints_an_attempt_goes_on_from_a_point_that_is_no_checkpoint(out: Path) -> None:
    first = follower(out)
    for step in range(1, 12):
        train(first, step, step)
        first.tick()
    assert published(out) == {"1": 4, "2": 8}
    assert points(out) == [8, 10]  # the newest and the one before

    second = again(out)
    state = second.restore()
    assert state is not None
    assert {str(path.relative_to(state)) for path in state.rglob("*")} == {"actor", "actor/optim.pt"}
    assert (state.name, (state / "actor" / "optim.pt").read_text()) == ("global_step_10", "moments of 10")
    assert published(out) == {"1": 4, "2": 8}
    train(second, 11, 20)
    second.tick()
    second.check_complete()
    assert published(out) == {str(fifth): step for fifth, step in enumerate(CHECKPOINTS, 1)}
    rows = [json.loads(line)["step"] for line in (out / "training.jsonl").read_text().splitlines()]
    assert rows == list(range(1, 21))


def test_of_what_is_saved_while_the_store_is_slow_all_checkpoints_stay_and_the_newest_point(out: Path) -> None:
    slow = follower(out)
    train(slow, 1, 11)
    slow.tick()
    assert published(out) == {"1": 4, "2": 8}
    assert points(out) == [10]
    assert [path for path in slow.checkpoints.iterdir() if path.is_dir()] == []


def test_a_step_that_is_saved_but_not_logged_is_left_for_later(out: Path) -> None:
    one = follower(out)
    train(one, 1, 2)
    log = one.log.read_text()
    one.log.write_text(log[:-1])  # its last line is not whole
    one.tick()
    assert points(out) == []
    one.log.write_text(log)
    one.tick()
    assert points(out) == [2]


def test_after_the_last_step_nothing_of_verls_is_kept(out: Path) -> None:
    whole = follower(out)
    train(whole, 1, 20)
    whole.tick()
    last = again(out)
    assert last.restore() is None
    assert last.done == 20
    last.check_complete()

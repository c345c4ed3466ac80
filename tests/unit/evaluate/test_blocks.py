"""An evaluation in blocks: restarted, or shared among pods, it is the evaluation that one pod makes at once."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import rlgen_k8s.stages.evaluate.run as stage
from rlgen_k8s.lm.harness.names import TASKS
from rlgen_k8s.lm.harness.samples import read_samples
from rlgen_k8s.lm.harness.score import score
from rlgen_k8s.stages.evaluate.blocks import blocks
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.merge.run import run as merge
from rlgen_k8s.stages.merge.settings import MergeSettings

SETTINGS = EvaluateSettings(
    engine="hf",
    multiple_choice=("sciq", "piqa"),
    maths=("math500", "aime24"),
    limit=5,
    repeats_math500=3,
    repeats_aime=2,
    max_new_tokens=6,
    temperature=1.0,
    resume_responses=7,
)
FILES = ("results.json", "samples.parquet")
SIZES = dict.fromkeys(TASKS, 500)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def at_once(mirror: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of one pod that is not disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    stage.run(local_context(SETTINGS, {"model": model_folder, "mirror": mirror}, out))
    return out


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_shards_together_ask_each_sample_once_with_the_seed_that_one_pod_has(count: int) -> None:
    settings = EvaluateSettings(limit=100)
    whole = blocks(SIZES, settings)
    parts = [blocks(SIZES, settings.model_copy(update={"shards": count, "shard": i})) for i in range(count)]
    assert sorted((one for part in parts for one in part), key=lambda one: one.seed) == whole
    asked = [(one.task, doc) for one in whole for doc in one.docs]
    assert sorted(asked) == sorted((task, doc) for task in TASKS for doc in range(100))
    assert len({one.seed for one in whole}) == len({one.name for one in whole}) == len(whole)
    assert max(len(part) for part in parts) - min(len(part) for part in parts) <= 1


def test_a_block_of_maths_has_no_more_responses_than_asked_for() -> None:
    maths = [one for one in blocks(SIZES, EvaluateSettings(resume_responses=64)) if one.task != "piqa"][6:]
    assert {one.task for one in maths} == {"math500", "aime24", "aime25"}
    assert max(one.answers for one in maths) <= 64
    assert sum(one.answers for one in maths) == 3 * 500 + 10 * 500 + 10 * 500


@pytest.mark.parametrize("blocks_done", [1, 3, 5])
def test_a_restart_asks_only_what_is_missing_and_gives_the_same_result(
    mirror: Path, model_folder: Path, at_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks_done: int
) -> None:
    context = local_context(SETTINGS, {"model": model_folder, "mirror": mirror}, tmp_path / "out")
    asked: list[tuple[str, Sequence[int]]] = []

    def watched(model, tasks, *, docs, seed):
        if len(asked) == blocks_done:
            raise KilledError
        asked.extend(docs.items())
        return score(model, tasks, docs=docs, seed=seed)

    monkeypatch.setattr(stage, "score", watched)
    with pytest.raises(KilledError):
        stage.run(context)
    before, blocks_done = len(asked), -1
    stage.run(context)
    assert before < len(asked)
    assert asked == [
        (one.task, one.docs) for one in blocks(dict.fromkeys(("sciq", "piqa", "math500", "aime24"), 12), SETTINGS)
    ]
    for file in FILES:
        assert (context.out / file).read_bytes() == (at_once / file).read_bytes()


@pytest.mark.parametrize("count", [2, 9])
def test_shards_merged_are_the_bytes_of_one_pods_result(
    mirror: Path, model_folder: Path, at_once: Path, tmp_path: Path, count: int
) -> None:
    inputs = {}
    for i in range(count):
        inputs[f"shard-{i + 1}"] = out = tmp_path / str(i)
        settings = SETTINGS.model_copy(update={"shards": count, "shard": i})
        stage.run(local_context(settings, {"model": model_folder, "mirror": mirror}, out))
    assert sum(len(read_samples(folder / "samples.parquet")) for folder in inputs.values()) == 4 * 5
    merge(local_context(MergeSettings(of="evaluate"), inputs, tmp_path / "merged"))
    for file in FILES:
        assert (tmp_path / "merged" / file).read_bytes() == (at_once / file).read_bytes()

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from rlgen_k8s.crosscoder.model import new_crosscoder
from rlgen_k8s.crosscoder.saving import load_crosscoder, save_crosscoder
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.harness.model import load_harness_model
from rlgen_k8s.lm.harness.score import score
from rlgen_k8s.lm.harness.tasks import load_tasks
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.lm.middle import edit_residual
from rlgen_k8s.stages.evaluate.run import run as evaluate
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.intervene.conditions import Condition
from rlgen_k8s.stages.intervene.edits import unchanged
from rlgen_k8s.stages.intervene.loss import on_text
from rlgen_k8s.stages.intervene.results import Outcome, rows_of
from rlgen_k8s.stages.intervene.run import run
from rlgen_k8s.stages.intervene.settings import InterveneSettings

TASKS = ("openbookqa", "sciq")
CONTROLS = [[3, 4], [5, 6]]
SETTINGS: dict[str, Any] = {
    "tasks": TASKS,
    "unseen_tasks": ("logiqa",),
    "random_features": 2,
    "random_directions": 2,
    "tokens_per_batch": 400,
}


@dataclass(frozen=True)
class World:
    inputs: dict[str, Path]
    models: dict[str, Path]
    critical: dict[str, list[int]]


@pytest.fixture(scope="module")
def world(new_model: Callable[[int], Path], mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("study")
    models = {"base": new_model(1), "rl": new_model(2)}
    settings = EvaluateSettings(multiple_choice=(*TASKS, "logiqa"), maths=(), tokens_per_batch=400)
    frames = {}
    for name, model in models.items():
        evaluate(local_context(settings, {"model": model, "mirror": mirror}, root / f"evaluation-{name}"))
        frames[name] = pd.read_parquet(root / f"evaluation-{name}" / "samples.parquet")
    only_rl = frames["rl"][(frames["base"]["outcome"] == 0) & (frames["rl"]["outcome"] == 1)]
    critical = {task: [int(i) for i in only_rl[only_rl["task"] == task]["doc_id"]] for task in (*TASKS, "logiqa")}
    assert len(critical["sciq"]) >= 2
    assert critical["logiqa"]
    crosscoder = new_crosscoder(("base", "sft", "rl"), (0.5, 1, 2), width=32, n_features=8, decoder_norm=2, seed=0)
    (root / "crosscoder").mkdir()
    save_crosscoder(crosscoder, root / "crosscoder")
    (root / "corpus").mkdir()
    np.save(root / "corpus" / "evaluation.npy", np.arange(80, dtype=np.int32).reshape(5, 16) + 3)
    inputs = {"mirror": mirror} | {
        name: root / name for name in ("crosscoder", "corpus", "evaluation-base", "evaluation-rl")
    }
    return World(inputs, models, critical)


def intervened(
    world: World, out: Path, *, direction: str = "zero", settings: dict[str, Any] | None = None, **features: Any
) -> dict[str, Any]:
    halves = {t: {"selection": world.critical[t][::2], "held_out": world.critical[t][1::2]} for t in TASKS}
    found = {
        "generalization": [0, 2],
        "fallback": [],
        "fallback_rule": "features chosen in most tasks",
        "max_activation": {"0": 1.5, "2": 0.0},
        "paper_protocol": {"per_task": {}, "intersection": [1, 2], "fallback": []},
        "of_interest": [0, 5],
        "controls": {"random_features": CONTROLS},
        "critical": halves,
        "unseen_critical": {"logiqa": world.critical["logiqa"]},
        "layer": 2,
    } | features
    (out.parent / "features").mkdir(parents=True)
    (out.parent / "features" / "features.json").write_text(json.dumps(found))
    model = world.models["rl" if direction == "zero" else "base"]
    inputs = world.inputs | {"model": model, "features": out.parent / "features"}
    run(local_context(InterveneSettings(direction=direction, **SETTINGS, **(settings or {})), inputs, out))
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize(("direction", "model", "scale"), [("zero", "rl", 2.0), ("raise", "base", 0.5)])
def test_after_is_what_the_harness_finds_with_the_stream_edited_by_hand(
    world: World, tmp_path: Path, direction: str, model: str, scale: float, threshold: float
):
    """Also where the crosscoder has thresholds: what is not above its own is no feature and is not edited away."""
    if threshold:
        coder = load_crosscoder(world.inputs["crosscoder"])
        (tmp_path / "crosscoder").mkdir()
        save_crosscoder(replace(coder, thresholds=torch.full((8,), threshold)), tmp_path / "crosscoder")
        world = replace(world, inputs=world.inputs | {"crosscoder": tmp_path / "crosscoder"})
    results = intervened(world, tmp_path / "out", direction=direction)
    harness_model = load_harness_model(world.models[model], tokens_per_batch=400)
    one = new_crosscoder(("one",), (1.0,), width=32, n_features=8, decoder_norm=2, seed=0)  # equal for every model

    def by_hand(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        x = output.clone()
        f = scale * output @ one.encoder
        f = f * (f > threshold)
        for i in (0, 2):
            goal = torch.zeros_like(f[..., i]) if direction == "zero" else torch.full_like(f[..., i], 3.0)
            x += (goal - f[..., i])[..., None] * one.decoder[i] / scale
        return x

    tasks = load_tasks([*TASKS, "logiqa"], world.inputs["mirror"], tmp_path)
    text = np.load(world.inputs["corpus"] / "evaluation.npy")
    before, loss_before = score(harness_model, tasks), on_text(harness_model.model, text, [], 400)[0].loss
    harness_model.model.model.layers[1].register_forward_hook(by_hand)
    after, loss_after = score(harness_model, tasks), on_text(harness_model.model, text, [], 400)[0].loss

    samples = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    main = samples[samples["condition"] == "main"].sort_values(["task", "doc_id"])
    expected = sorted((a.task, a.doc_id, b.outcome, a.outcome, a.choice) for a, b in zip(after, before, strict=True))
    found = [tuple(row) for row in main[["task", "doc_id", "before", "after", "choice_after"]].to_numpy()]
    assert found == expected
    assert any(a.choice != b.choice for a, b in zip(after, before, strict=True))
    assert results["as_evaluated"] == 1.0
    on_loss = next(row["change"]["mean"] for row in results["loss"] if row["kind"] == "main")
    assert on_loss == pytest.approx(np.mean(loss_after - loss_before), rel=1e-3)

    whole = next(r for r in results["rows"] if (r["condition"], r["task"], r["split"]) == ("main", "all", "whole"))
    assert whole["n"] == 36
    assert whole["change"] == pytest.approx(np.mean([row[3] - row[2] for row in expected]))
    assert whole["ci_low"] <= whole["change"] <= whole["ci_high"]
    assert results["value_over_maximum"] == ({"0": 2.0} if direction == "raise" else {})


def test_every_condition_has_its_rows_and_the_loss_is_measured(world: World, tmp_path: Path):
    results = intervened(world, tmp_path / "out")
    rows = pd.DataFrame(results["rows"])
    kinds = {"main": 1, "paper": 1, "dose": 2, "random_features": 2, "random_directions": 2}
    assert rows.groupby("kind")["condition"].nunique().to_dict() == kinds
    halves = rows[rows["split"].isin(["selection", "held_out", "unseen"]) & (rows["task"] != "all")]
    assert set(halves.groupby("condition")["n"].sum()) == {sum(map(len, world.critical.values()))}
    assert (halves[halves["n"] > 0]["before"] == 1).all()  # critical samples are those the RL model gets right
    cells = rows[(rows["condition"] == "main") & (rows["task"] == "all")].set_index("split")["n"]
    assert cells[["both_right", "only_base", "only_rl", "both_wrong"]].sum() == cells["whole"] == 36
    critical = rows[rows["split"].isin(["critical", "unseen"]) & (rows["task"] != "all")]
    assert set(critical.groupby("condition")["n"].sum()) == {sum(map(len, world.critical.values()))}
    assert results["paper_features"] == [1, 2]
    assert [(row["kind"], row["change"]["n"], row["n_tokens"]) for row in results["loss"]] == [
        ("main", 5, 75),
        ("random_features", 5, 75),
        ("random_directions", 5, 75),
    ]
    assert all(row["change"]["mean"] != 0 and row["divergence"]["low"] > 0 for row in results["loss"])


def test_differences_in_differences_are_those_of_the_samples(world: World, tmp_path: Path):
    results = intervened(world, tmp_path / "out")
    samples = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    change = {(r.condition, r.task, r.doc_id): r.after - r.before for r in samples.itertuples()}
    outcome = {
        name: {(r.task, r.doc_id): r.outcome for r in pd.read_parquet(path / "samples.parquet").itertuples()}
        for name, path in (("base", world.inputs["evaluation-base"]), ("rl", world.inputs["evaluation-rl"]))
    }
    found = {(c["comparison"], c["task"], c["split"]): c for c in results["contrasts"]}
    task = "sciq"
    critical = world.critical[task][1::2]
    reference = [d for (t, d), right in outcome["base"].items() if t == task and right and outcome["rl"][t, d]]
    over = {
        name: np.mean([change[name, task, doc] for doc in critical])
        for name in ("main", "random features 1", "random features 2", "random direction 1", "random direction 2")
    }
    by_hand = over["main"] - (over["random features 1"] + over["random features 2"]) / 2
    assert found["random_features", task, "held_out"]["difference"]["mean"] == pytest.approx(by_hand)
    by_hand = over["main"] - (over["random direction 1"] + over["random direction 2"]) / 2
    assert found["random_directions", task, "held_out"]["difference"]["mean"] == pytest.approx(by_hand)
    beside = found["unchanged_by_rl", task, "held_out"]
    if reference:
        on_all = ("main", "random features 1")
        elsewhere = {name: np.mean([change[name, task, doc] for doc in reference]) for name in on_all}
        assert beside["difference"]["mean"] == pytest.approx(over["main"] - elsewhere["main"])
        by_hand = over["main"] - over["random features 1"] - elsewhere["main"] + elsewhere["random features 1"]
        triple = found["unchanged_by_rl_and_random", task, "held_out"]["difference"]
        assert triple["mean"] == pytest.approx(by_hand)
    assert beside["reference"] == len(reference)
    assert {c["split"] for c in results["contrasts"] if c["task"] == "all"} == {"held_out", "unseen"}


def test_each_feature_of_interest_is_edited_alone(world: World, tmp_path: Path):
    results = intervened(world, tmp_path / "out", generalization=[5], settings={"feature_sequences": 5})
    assert set(results["alone"]) == {"0", "5"}
    of_set = next(row for row in results["loss"] if row["kind"] == "main")
    for ours, theirs in (("loss", "change"), ("divergence", "divergence")):
        assert results["alone"]["5"][ours] == of_set[theirs]
        assert results["alone"]["0"][ours] != of_set[theirs]


def test_the_papers_protocol_can_be_left_out(world: World, tmp_path: Path):
    results = intervened(world, tmp_path / "out", settings={"paper_protocol": False})
    assert results["paper_features"] == []
    assert "paper" not in {row["kind"] for row in results["rows"]}


def test_no_features_at_all_is_a_finding_and_not_a_crash(world: World, tmp_path: Path):
    results = intervened(world, tmp_path / "out", generalization=[])
    assert results["finding"].startswith("no generalization features")
    assert (results["feature_set"], results["rows"], results["loss"]) == ("none", [], [])
    assert len(pd.read_parquet(tmp_path / "out" / "samples.parquet")) == 0


def test_the_fallback_is_used_and_said_so(world: World, tmp_path: Path):
    results = intervened(world, tmp_path / "out", generalization=[], fallback=[2])
    assert (results["feature_set"], results["features"]) == ("fallback", [2])
    assert "no generalization features" in results["finding"]
    assert "features chosen in most tasks" in results["finding"]
    assert results["rows"]


def test_a_task_without_critical_samples_has_rows_that_say_so(world: World, tmp_path: Path):
    nothing = {task: {"selection": [], "held_out": []} for task in TASKS}
    results = intervened(world, tmp_path / "out", critical=nothing, unseen_critical={"logiqa": []})
    rows = [row for row in results["rows"] if row["split"] == "held_out"]
    assert {(row["n"], row["change"], row["ci_low"]) for row in rows} == {(0, None, None)}


def test_features_of_another_layer_are_refused(world: World, tmp_path: Path):
    with pytest.raises(UserError, match=r"features of layer 3: the model's middle layer is 2"):
        intervened(world, tmp_path / "out", layer=3)


def test_where_nothing_changes_the_interval_opens_to_the_side_a_change_could_go_to():
    main = Condition("main", "main", unchanged, whole=True)
    for right, wanted in ((1.0, (-1, 0)), (0.0, (0, 1))):
        outcomes = {("sciq", i): Outcome(right, 0) for i in range(10)}
        row = rows_of(main, outcomes, outcomes, {("sciq", "held_out"): list(range(10))}, seed=0)[0]
        assert row.change == 0
        assert (np.sign(row.ci_low), np.sign(row.ci_high)) == wanted


def test_effects_on_text_are_the_models_own_loss_and_a_sum_over_the_vocabulary(world: World):
    model = load_model(world.models["base"])
    tokens = np.load(world.inputs["corpus"] / "evaluation.npy")

    def push(stream: torch.Tensor) -> torch.Tensor:
        return stream + 0.5

    untouched, pushed = on_text(model, tokens, [push], tokens_per_batch=32)
    assert not untouched.divergence.any()
    for i, row in enumerate(tokens):
        ids = torch.tensor(row[None], dtype=torch.long)
        with torch.no_grad():
            before = model(ids, labels=ids)
            with edit_residual(model, push):
                after = model(ids, labels=ids)
        assert untouched.loss[i] == pytest.approx(float(before.loss), abs=1e-5)
        assert pushed.loss[i] == pytest.approx(float(after.loss), abs=1e-5)
        p, q = (out.logits[0, :-1].double().softmax(dim=1).tolist() for out in (before, after))
        by_hand = [
            sum(a * (math.log(a) - math.log(b)) for a, b in zip(pt, qt, strict=True))
            for pt, qt in zip(p, q, strict=True)
        ]
        assert pushed.divergence[i] == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-3, abs=1e-6)
        assert pushed.divergence[i] > 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"doses": (1.5,)}, "doses"), ({"unseen_tasks": ("sciq",)}, "unseen_tasks"), ({"direction": "up"}, "direction")],
)
def test_contradictory_settings_are_refused_by_name(wrong: dict[str, object], field: str):
    with pytest.raises(ValidationError, match=field):
        InterveneSettings(**wrong)

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from rlgen_k8s.crosscoder import Estimate, LatentScaling, load_crosscoder
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.described import own_features
from rlgen_k8s.stages.crosscoder.run import run
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.harvest.run import run as run_harvest
from rlgen_k8s.stages.harvest.settings import HarvestSettings

MODELS = ("base", "sft", "rl")


class KilledError(Exception):
    """Stands where SIGKILL would."""


@pytest.fixture(scope="module")
def inputs(corpus: Path, model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("harvest") / "out"
    run_harvest(local_context(HarvestSettings(), {"corpus": corpus, **model_folders}, out))
    models = {f"model-{name}": folder for name, folder in model_folders.items()}
    return {"corpus": corpus, **models, **{f"activations-{name}": out / name for name in model_folders}}


def context(inputs: dict[str, Path], out: Path, **changes: Any) -> Context[CrosscoderSettings]:
    settings = CrosscoderSettings(
        **{
            "models": MODELS,
            "n_features": 64,
            "batch": 256,
            "learning_rate": 1e-3,
            "epochs": 4,
            "log_interval": 10,
            "resume_interval": 30,
            "splice_sequences": 5,
            **changes,
        }
    )
    return local_context(settings, inputs, out)


@pytest.mark.parametrize(
    ("models", "changes"),
    [
        (MODELS, {}),
        (("base", "rl"), {}),
        (MODELS, {"activation": "batch_topk", "active_features": 8}),
        (MODELS, {"activation": "jumprelu", "decoder_norm": 1.0, "learning_rate": 3e-3}),
    ],
)
def test_result_holds_crosscoder_measures_and_curves(
    inputs: dict[str, Path], tmp_path: Path, models: tuple[str, ...], changes: dict[str, Any]
) -> None:
    progress: list[tuple[int, int]] = []
    run(replace(context(inputs, tmp_path / "out", models=models, **changes), progress=lambda *at: progress.append(at)))
    out = tmp_path / "out"
    coder = load_crosscoder(out)
    assert (coder.models, coder.n_features, coder.width) == (models, 64, 32)
    report = json.loads((out / "metrics.json").read_text())
    assert list(report["models"]) == list(models)
    for measures in report["models"].values():
        assert 0.1 < measures["variance_explained"] < 1
        assert measures["loss_recovered"] == pytest.approx(
            (measures["loss_ablated"] - measures["loss_spliced"]) / (measures["loss_ablated"] - measures["loss"])
        )
        assert measures["kl_recovered"] == pytest.approx(1 - measures["kl_spliced"] / measures["kl_ablated"])
        assert 0 <= measures["own_confirmed"] <= measures["own"] <= 64
    for use in report["own_use"].values():
        assert 0 <= use["low"] <= use["mean"] <= use["high"] <= 1
    assert 0 < report["l0"] < 64
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [*range(10, report["steps"], 10), report["steps"]]
    assert curve[-1]["squared_error"] < 0.7 * curve[0]["squared_error"]
    assert progress[-1] == (report["steps"], report["steps"])
    statistics = load_file(out / "features.safetensors")
    assert statistics["branch_maximum"].shape == (len(models), 64)
    examples, scaling = load_file(out / "examples.safetensors"), load_file(out / "scaling.safetensors")
    torch.testing.assert_close(examples["values"][:, 0], statistics["maximum"])
    counts = examples["histogram"].sum(dim=1) / report["evaluation_tokens"]
    torch.testing.assert_close(counts, statistics["firing_rate"])
    fires = statistics["firing_rate"] > 0
    assert torch.equal(scaling["nu_error"].isnan().any(dim=0), ~fires)


def test_own_features_are_confirmed_where_no_other_model_has_them() -> None:
    """Of six features: a's, twice; a's by the decoder only, for either reason; shared; a's that never fires."""
    scores = torch.tensor([[0.95, 0.99, 0.95, 0.95, 0.5, 0.95], [0.04, 0.0, 0.03, 0.05, 0.3, 0.04]])
    scores = torch.cat([scores, 1 - scores.sum(dim=0, keepdim=True)])
    nothing = torch.full((3, 6), torch.nan)
    reconstruction = torch.tensor([[1.0] * 6, [0.0, 0.4, 0.6, 0.0, 1.0, 0.0], [0.0] * 6])
    error = torch.tensor([[1.0] * 6, [0.0] * 6, [0.1, -0.1, 0.0, -0.3, 1.0, 0.0]])
    reconstruction[:, 5] = error[:, 5] = torch.nan
    estimates = (Estimate(nu, nothing, nothing) for nu in (reconstruction, error))
    scaling = LatentScaling(torch.zeros(6, dtype=torch.int64), reconstruction, error, *estimates)
    assert own_features(scores > 0.9, scaling) == [(4, 2), (0, 0), (0, 0)]


def test_killed_and_run_again_publishes_the_same_bytes(inputs: dict[str, Path], tmp_path: Path) -> None:
    run(context(inputs, tmp_path / "whole"))

    def die(done: int, _total: int) -> None:
        if done == 50:
            raise KilledError

    killed = context(inputs, tmp_path / "killed")
    with pytest.raises(KilledError):
        run(replace(killed, progress=die))
    again = replace(killed, out=tmp_path / "again")
    again.out.mkdir()
    seen: list[int] = []
    run(replace(again, progress=lambda done, _total: seen.append(done)))
    assert seen[0] == 40  # went on from the point at step 30
    for file in (tmp_path / "whole").iterdir():
        assert (again.out / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("models", [("base",), ("base", "base"), ()])
def test_fewer_than_two_different_models_are_refused(models: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="at least two models, each once"):
        CrosscoderSettings(models=models)


def test_jumprelu_that_would_start_with_nothing_active_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"decoder_norm 0\.08 with jump_threshold 3: .*; set decoder_norm to 1"):
        CrosscoderSettings(activation="jumprelu")
    CrosscoderSettings(activation="jumprelu", decoder_norm=1.0)

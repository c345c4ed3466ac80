"""What a feature's page is made of is what the models say, one token at a time."""

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rlgen_k8s.lm.load import load_model, load_tokenizer
from rlgen_k8s.stages.analyse.interest import OWN, features_of_interest
from rlgen_k8s.stages.analyse.results import Portraits
from rlgen_k8s.stages.analyse.snippets import Place, places_of


@pytest.fixture(scope="module")
def portraits(found: Any) -> Portraits:
    return Portraits.model_validate_json((found.out / "portraits.json").read_text())


def test_of_interest_are_the_selected_and_each_models_own_that_fire() -> None:
    mas = {"base": np.zeros(8), "sft": np.array([0.9, 0.8, 0.1, np.nan, 0, 0, 0, 0]), "rl": np.linspace(0, 1, 8)}
    fires = np.array([True, False, True, True, True, True, True, True])
    found = features_of_interest([2], [], [2, 1], mas, fires)
    assert found[2][:2] == ["generalization feature", "selected by the paper's protocol"]
    assert found[1] == ["selected by the paper's protocol"]  # silent: among no model's own
    of_rl = {f for f, why in found.items() if any("for RL" in reason for reason in why)}
    assert of_rl == {7, 6, 5, 4, 3}
    assert len(of_rl) == OWN
    assert features_of_interest([], [], [], mas, np.zeros(8, dtype=bool)) == {}


def test_places_are_counted_over_the_kept_positions() -> None:
    kept = np.array([[False, True, True], [False, True, False]])
    rows = np.array([[2, 0, -1], [1, -1, -1]])
    assert places_of([0, 1], rows, kept, 8) == [Place(0, 1, 1), Place(0, 0, 1), Place(1, 0, 2)]
    assert places_of([0], rows, kept, 1) == [Place(0, 1, 1)]
    assert Place(0, 0, 30).window(128) == slice(6, 39)
    assert Place(0, 0, 2).window(5) == slice(0, 5)


def test_a_features_mas_over_seeds_is_of_those_that_have_it(
    portraits: Portraits, found: Any, planted: ModuleType
) -> None:
    """Planted: seed 10 has the joint crosscoder's features in another order, seed 9 all but the first `CHANGED`."""
    norms = planted.joint_crosscoder().decoder_by_model.abs().sum(dim=2)
    own = (norms / norms.sum(dim=0)).numpy()
    for portrait in portraits.features:
        assert portrait.starts == 3
        having = 2 if portrait.feature < planted.CHANGED else 3
        for model, name in enumerate(("base", "sft", "rl")):
            over = portrait.over_seeds[name]
            assert over.n == having
            assert (over.low, over.mean, over.high) == pytest.approx((own[model, portrait.feature],) * 3, rel=1e-5)
    assert {portrait.feature < planted.CHANGED for portrait in portraits.features} == {True}


def test_without_another_seed_a_feature_has_no_interval_over_them(empty: Any) -> None:
    for portrait in Portraits.model_validate_json((empty.out / "portraits.json").read_text()).features:
        assert portrait.starts == 1
        assert {over.n for over in portrait.over_seeds.values()} == {0}


def test_examples_are_the_strongest_tokens_of_the_joint_features(
    portraits: Portraits, found: Any, planted: ModuleType
) -> None:
    tokens = np.load(found.inputs["corpus"] / "evaluation.npy")
    names = {"base": "model-base", "sft": "model-sft-5", "rl": "model-rl-5"}
    embeddings = {n: load_model(found.inputs[m]).model.embed_tokens.weight.detach() for n, m in names.items()}
    tokenizer = load_tokenizer(found.inputs["model-base"])

    def activation(token: int, feature: int) -> float:
        return max(0.0, sum(float(embeddings[n][token, feature]) * planted.SCALE[n] for n in names))

    assert {1, 2} < {portrait.feature for portrait in portraits.features}
    for portrait in portraits.features:
        by_token = {token: activation(token, portrait.feature) for token in set(tokens[tokens != planted.SEPARATOR])}
        assert portrait.largest == pytest.approx(max(by_token.values()), rel=1e-4)
        fired = np.mean([by_token[token] > 0 for token in tokens[tokens != planted.SEPARATOR]])
        assert portrait.fires == pytest.approx(fired)
        assert sum(portrait.histogram) == round(fired * portrait.n_tokens)
        assert 1 <= len(portrait.examples) <= 8
        best = sorted((max(by_token.get(t, 0.0) for t in row) for row in tokens), reverse=True)
        for example, value in zip(portrait.examples, best, strict=False):
            ids = tokenizer.convert_tokens_to_ids(example.tokens)
            wanted = [by_token.get(token, 0.0) for token in ids]  # separators are not read
            assert example.activations == pytest.approx(wanted, abs=2e-4)
            assert example.activations[example.peak] == pytest.approx(value, abs=2e-4)


def test_shares_and_scores_are_those_of_the_analysis(portraits: Portraits, found: Any, planted: ModuleType) -> None:
    arrays = np.load(found.out / "arrays.npz")
    rows = planted.joint_crosscoder().decoder_by_model.abs().sum(dim=2)
    for portrait in portraits.features:
        for model in ("base", "sft", "rl"):
            assert portrait.mas[model] == pytest.approx(arrays[f"mas-{model}"][portrait.feature])
        base, sft = float(rows[0, portrait.feature]), float(rows[1, portrait.feature])
        assert portrait.nrn["sft"] == pytest.approx(sft / (base + sft), rel=1e-5)
    first = next(portrait for portrait in portraits.features if portrait.feature == 1)
    assert [score.mean for score in first.scores.values()] == pytest.approx([3.0] * 5, abs=1e-5)
    assert {score.n for score in first.scores.values()} == {10}


def test_the_lens_names_the_tokens_of_the_largest_logits(portraits: Portraits, found: Any, planted: ModuleType) -> None:
    model, tokenizer = (load(found.inputs["model-base"]) for load in (load_model, load_tokenizer))
    portrait = portraits.features[0]
    row = planted.joint_crosscoder().decoder_by_model[0, portrait.feature]
    with torch.no_grad():
        logits = model.lm_head(model.model.norm(row / row.norm() * row.numel() ** 0.5))
    order = logits.argsort(descending=True).tolist()
    words = portrait.lens["base"]
    assert [word for word, _ in words.promoted] == [tokenizer.decode([i]) for i in order[:10]]
    assert words.suppressed[0][0] == tokenizer.decode([order[-1]])
    assert words.promoted[0][1] == pytest.approx(float(logits.max()), abs=2e-3)


def test_features_of_interest_are_named_to_the_interventions(found: Any, portraits: Portraits) -> None:
    named = json.loads((found.out / "features.json").read_text())["of_interest"]
    assert named == [portrait.feature for portrait in portraits.features]

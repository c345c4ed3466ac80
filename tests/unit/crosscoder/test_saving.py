import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, load_crosscoder, measure, save_crosscoder
from rlgen_k8s.errors import UserError
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.open import open_store


def random_crosscoder(n_models: int) -> Crosscoder:
    generator = torch.Generator().manual_seed(n_models)
    shapes = [(n_models * 4, 7), (7,), (7, n_models * 4), (n_models * 4,)]
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    scales = tuple(0.1 * (index + 1) for index in range(n_models))
    return Crosscoder(tuple("abcd"[:n_models]), scales, *tensors)


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, n_models: int) -> None:
    coder = random_crosscoder(n_models)
    save_crosscoder(coder, tmp_path)
    loaded = load_crosscoder(tmp_path)
    assert (loaded.models, loaded.scales, loaded.width) == (coder.models, coder.scales, 4)
    for name, tensor in coder.parameters.items():
        assert torch.equal(loaded.parameters[name], tensor)
        assert loaded.parameters[name].is_contiguous()


def test_thresholds_are_kept(tmp_path: Path) -> None:
    coder = replace(random_crosscoder(2), thresholds=torch.rand(7, generator=torch.Generator().manual_seed(0)))
    save_crosscoder(coder, tmp_path)
    for loaded in (load_crosscoder(tmp_path), load_crosscoder(tmp_path).folded()):
        assert torch.equal(loaded.parameters["thresholds"], coder.parameters["thresholds"])


def test_the_file_holds_the_papers_tensors(tmp_path: Path) -> None:
    """f = ReLU(sum_m x_m W_enc[m] + b_enc), x̂_m = f W_dec[m] + b_dec[m], from the file alone."""
    coder = random_crosscoder(3)
    save_crosscoder(coder, tmp_path)
    saved = load_file(tmp_path / "crosscoder.safetensors")
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    features = torch.relu(sum(x[m] @ saved["W_enc"][m] for m in range(3)) + saved["b_enc"])
    torch.testing.assert_close(coder.encode(x.flatten()), features)
    rebuilt = coder.decode(features).view(3, 4)
    for m in range(3):
        torch.testing.assert_close(rebuilt[m], features @ saved["W_dec"][m] + saved["b_dec"][m])


@pytest.mark.parametrize("n_models", [2, 3])
def test_the_config_says_which_activations_the_files_tensors_are_for(tmp_path: Path, n_models: int) -> None:
    """Whoever reads `W_enc` alone: `scaled` wants each model's scale first, `raw` wants nothing."""
    coder = random_crosscoder(n_models)
    raw = 5 * torch.randn(n_models, 4, generator=torch.Generator().manual_seed(0))
    features = coder.encode((raw * torch.tensor(coder.scales)[:, None]).flatten())
    for units, saved in (("scaled", coder), ("raw", coder.folded())):
        save_crosscoder(saved, tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        tensors = load_file(tmp_path / "crosscoder.safetensors")
        assert config["units"] == units
        x = raw * torch.tensor(config["scales"])[:, None] if units == "scaled" else raw
        read = sum(x[m] @ tensors["W_enc"][m] for m in range(n_models)) + tensors["b_enc"]
        torch.testing.assert_close(torch.relu(read), features)
        torch.testing.assert_close(load_crosscoder(tmp_path).encode(x.flatten()), features)
    for wrong, said in ((config | {"units": "scaled"}, "scaled"), ({**config, "units": None}, "None")):
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(UserError, match=f"config.json says {said}, its scales raw"):
            load_crosscoder(tmp_path)


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_folded_scales_give_the_same_features_and_raw_reconstructions(n_models: int) -> None:
    coder = random_crosscoder(n_models)
    folded = coder.folded()
    raw = 5 * torch.randn(50, n_models, 4, generator=torch.Generator().manual_seed(0))
    scales = torch.tensor(coder.scales)[:, None]
    scaled = (raw * scales).flatten(1)
    features = coder.encode(scaled)
    torch.testing.assert_close(folded.encode(raw.flatten(1)), features)
    torch.testing.assert_close(
        folded.decode(features).view(-1, n_models, 4) * scales, coder.decode(features).view(-1, n_models, 4)
    )
    for m, name in enumerate(coder.models):
        torch.testing.assert_close(
            folded.encode_branch(raw[:, m], name), coder.encode_branch(raw[:, m] * coder.scales[m], name)
        )
    assert folded.scales == (1.0,) * n_models


def test_branches_without_bias_add_up_to_the_joint_preactivation() -> None:
    coder = random_crosscoder(3)
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    coder.encoder_bias += 100.0  # every preactivation above zero, so that ReLU takes nothing away
    branches = sum(coder.encode_branch(x[:, coder.columns(name)], name) for name in coder.models)
    torch.testing.assert_close(branches - 2 * coder.encoder_bias, coder.encode(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n_models", [2, 3])
def test_folding_twice_is_folding_once(tmp_path: Path, n_models: int) -> None:
    """Also where the folded form was saved in between: its scales say that it is folded."""
    once = random_crosscoder(n_models).folded()
    save_crosscoder(once, tmp_path)
    for again in (once.folded(), load_crosscoder(tmp_path).folded()):
        assert again.scales == once.scales
        for name, tensor in once.parameters.items():
            assert torch.equal(again.parameters[name], tensor)


def test_a_folded_crosscoder_measures_the_same_on_raw_activations_and_refuses_scaled_ones() -> None:
    coder = random_crosscoder(2)
    generator = torch.Generator().manual_seed(0)
    raw = tuple(5 * torch.randn(60, 4, generator=generator) for _ in range(2))
    scaled, unscaled = (JointActivations(("a", "b"), raw, scales) for scales in (coder.scales, (1.0, 1.0)))
    of_scaled = measure(coder, scaled, dense_rate=0.5)
    of_raw = measure(coder.folded(), unscaled, dense_rate=0.5)
    assert of_raw.variance_explained == pytest.approx(of_scaled.variance_explained, rel=1e-4)
    assert of_raw.l0 == of_scaled.l0
    torch.testing.assert_close(of_raw.features.maximum, of_scaled.features.maximum)
    for wrong, data in ((coder.folded(), scaled), (coder, unscaled)):
        with pytest.raises(UserError, match="scale them as it was trained"):
            measure(wrong, data, dense_rate=0.5)


def test_a_result_of_the_store_loads_back(tmp_path: Path) -> None:
    coder = random_crosscoder(2)
    store = open_store(str(tmp_path / "store"))
    identity = Identity(stage="crosscoder", version=1, settings={}, inputs={})
    attempt = store.open_attempt(identity.address, tmp_path)
    save_crosscoder(coder, attempt.out)
    store.publish(attempt, identity)
    store.close(attempt)
    loaded = load_crosscoder(store.fetch(attempt.address, tmp_path / "copy"))
    assert torch.equal(loaded.decoder, coder.decoder)


def test_a_hugging_face_repository_loads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the hub's cache layout, by its folder, by its name, and by a revision; the network is out of reach."""
    repository = tmp_path / "models--lab--coder"
    coders = {"1" * 40: random_crosscoder(2), "2" * 40: random_crosscoder(3)}
    for revision, coder in coders.items():
        snapshot = repository / "snapshots" / revision
        snapshot.mkdir(parents=True)
        save_crosscoder(coder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for source in (repository, str(repository), "hf://lab/coder"):
        assert torch.equal(load_crosscoder(source).decoder, coders["1" * 40].decoder)
    assert load_crosscoder(f"hf://lab/coder@{'2' * 40}").models == ("a", "b", "c")
    with pytest.raises(UserError, match=r"crosscoder hf://lab/other: not in the local cache, and the hub cannot be"):
        load_crosscoder("hf://lab/other")
    with pytest.raises(UserError, match=r"crosscoder hf://coder: expected hf://owner/name"):
        load_crosscoder("hf://coder")


def test_files_that_contradict_each_other_or_are_cut_short_are_named(tmp_path: Path) -> None:
    save_crosscoder(random_crosscoder(2), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_features": 8}))
    with pytest.raises(UserError, match=r"W_enc is \(2, 4, 7\), config\.json says \(2, 4, 8\)"):
        load_crosscoder(tmp_path)
    weights = tmp_path / "crosscoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"crosscoder file .*crosscoder\.safetensors"):
        load_crosscoder(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json"):
        load_crosscoder(tmp_path)


def test_an_unknown_model_and_a_folder_without_crosscoder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="crosscoder model sft: not one of a, b"):
        random_crosscoder(2).position("sft")
    with pytest.raises(UserError, match=r"has no crosscoder\.safetensors"):
        load_crosscoder(tmp_path)

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlgen_k8s.crosscoder import Crosscoder, load_crosscoder, save_crosscoder
from rlgen_k8s.errors import UserError


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


def test_an_unknown_model_and_a_folder_without_crosscoder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="crosscoder model sft: not one of a, b"):
        random_crosscoder(2).position("sft")
    with pytest.raises(UserError, match=r"has no crosscoder\.safetensors"):
        load_crosscoder(tmp_path)

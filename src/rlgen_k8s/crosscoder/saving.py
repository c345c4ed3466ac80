"""A crosscoder in a folder: `crosscoder.safetensors` with the tensors in docs/study.md's shapes, and `config.json`.

Tensors: `W_enc` [M, d, D], `b_enc` [D], `W_dec` [M, D, d], `b_dec` [M, d], all for scaled activations; the scales stand
in `config.json` beside the models' names. `Crosscoder.folded()` gives the form for raw activations.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.errors import UserError


def save_crosscoder(crosscoder: Crosscoder, folder: Path) -> None:
    """Write `crosscoder` into the existing `folder`."""
    tensors = {
        "W_enc": crosscoder.encoder_by_model,
        "b_enc": crosscoder.encoder_bias,
        "W_dec": crosscoder.decoder_by_model,
        "b_dec": crosscoder.decoder_bias.view(crosscoder.n_models, crosscoder.width),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "crosscoder.safetensors")
    config = {
        "models": crosscoder.models,
        "scales": crosscoder.scales,
        "width": crosscoder.width,
        "n_features": crosscoder.n_features,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def load_crosscoder(folder: Path, device: torch.device | str = "cpu") -> Crosscoder:
    """Read what `save_crosscoder` wrote. Raises `UserError` if `folder` holds no crosscoder."""
    path = folder / "crosscoder.safetensors"
    if not path.is_file():
        raise UserError(f"crosscoder folder {folder}: has no crosscoder.safetensors; give a result of stage crosscoder")
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(path, device=str(device))
    width, n_features = config["width"], config["n_features"]
    return Crosscoder(
        models=tuple(config["models"]),
        scales=tuple(config["scales"]),
        encoder=tensors["W_enc"].view(-1, n_features),
        encoder_bias=tensors["b_enc"],
        decoder=tensors["W_dec"].transpose(0, 1).reshape(n_features, len(config["models"]) * width),
        decoder_bias=tensors["b_dec"].view(-1),
    )

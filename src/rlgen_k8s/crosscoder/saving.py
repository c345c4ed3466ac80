"""A crosscoder in a folder: `crosscoder.safetensors` with the tensors in docs/study.md's shapes, and `config.json`.

Tensors: `W_enc` [M, d, D], `b_enc` [D], `W_dec` [M, D, d], `b_dec` [M, d], and `thresholds` [D] where the activation
has them. `config.json` has the models' names, their scales, and the `units` of the activations that the tensors are
for: `scaled`, each model's raw ones times its scale; or `raw`, scales 1. A trained crosscoder is for scaled ones;
`save_crosscoder(crosscoder.folded(), folder)` writes the equal one for raw ones, whose tensors are used as they are.

The same two files make a Hugging Face model repository: the folder uploads as it is, and loads as `hf://owner/name`.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.errors import UserError

WEIGHTS, CONFIG = "crosscoder.safetensors", "config.json"
HUB = "hf://"


def save_crosscoder(crosscoder: Crosscoder, folder: Path) -> None:
    """Write `crosscoder` into the existing `folder`."""
    tensors = {
        "W_enc": crosscoder.encoder_by_model,
        "b_enc": crosscoder.encoder_bias,
        "W_dec": crosscoder.decoder_by_model,
        "b_dec": crosscoder.decoder_bias.view(crosscoder.n_models, crosscoder.width),
    }
    if crosscoder.thresholds is not None:
        tensors["thresholds"] = crosscoder.thresholds
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    config = {
        "models": crosscoder.models,
        "scales": crosscoder.scales,
        "units": _units(crosscoder.scales),
        "width": crosscoder.width,
        "n_features": crosscoder.n_features,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")


def load_crosscoder(source: Path | str, device: torch.device | str = "cpu") -> Crosscoder:
    """Read what `save_crosscoder` wrote.

    `source`: a folder (a stage's result, also one fetched from a store); a repository in Hugging Face's cache
    (`models--owner--name`), of which the snapshot of `main` is read; or `hf://owner/name[@revision]`, from there or
    the hub. Raises `UserError` if there is no crosscoder, or if its files contradict each other.
    """
    folder = _folder(source)
    for file in (WEIGHTS, CONFIG):
        if not (folder / file).is_file():
            raise UserError(f"crosscoder folder {folder}: has no {file}; give a result of stage crosscoder")
    config = json.loads((folder / CONFIG).read_text())
    try:
        tensors = load_file(folder / WEIGHTS, device=str(device))
    except SafetensorError as error:
        raise UserError(f"crosscoder file {folder / WEIGHTS}: {error}; fetch or save it again") from error
    units = _units(config["scales"])
    if config.get("units") != units:
        found = config.get("units", "no units")
        raise UserError(
            f"crosscoder folder {folder}: config.json says {found}, its scales {units}; raw ones have scales 1: save "
            "it again"
        )
    M, width, n_features = len(config["models"]), config["width"], config["n_features"]
    wanted = {"W_enc": (M, width, n_features), "b_enc": (n_features,), "W_dec": (M, n_features, width)}
    for name, shape in (wanted | {"b_dec": (M, width)}).items():
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        if found != shape:
            raise UserError(f"crosscoder folder {folder}: {name} is {found}, config.json says {shape}; save it again")
    return Crosscoder(
        models=tuple(config["models"]),
        scales=tuple(config["scales"]),
        encoder=tensors["W_enc"].view(-1, n_features),
        encoder_bias=tensors["b_enc"],
        decoder=tensors["W_dec"].transpose(0, 1).reshape(n_features, M * width),
        decoder_bias=tensors["b_dec"].view(-1),
        thresholds=tensors.get("thresholds"),
    )


def _units(scales: Sequence[float]) -> str:
    """Of the activations that tensors beside these scales are for."""
    return "raw" if all(scale == 1 for scale in scales) else "scaled"


def _folder(source: Path | str) -> Path:
    """The folder that holds the files of `source`."""
    if str(source).startswith(HUB):
        return _snapshot(str(source))
    folder = Path(source)
    if (folder / "snapshots").is_dir() and (folder / "refs/main").is_file():
        return folder / "snapshots" / (folder / "refs/main").read_text().strip()
    return folder


def _snapshot(reference: str) -> Path:
    """The local snapshot of `hf://owner/name[@revision]`, downloaded if the cache lacks it."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, revision = reference.removeprefix(HUB).partition("@")
    if name.count("/") != 1:
        raise UserError(f"crosscoder {reference}: expected hf://owner/name or hf://owner/name@revision")
    download = partial(snapshot_download, name, revision=revision or None, allow_patterns=[WEIGHTS, CONFIG])
    try:
        try:
            return Path(download())
        except (OfflineModeIsEnabled, httpx.TransportError):  # for a commit's hash it asks the hub even if it has it
            return Path(download(local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"crosscoder {reference}: not in the local cache, and the hub cannot be reached; go online, or copy the "
            "repository's files into a folder and give that"
        ) from error
    except (HFValidationError, HfHubHTTPError) as error:
        raise UserError(
            f"crosscoder {reference}: {str(error).splitlines()[0]}; check the name and the access"
        ) from error

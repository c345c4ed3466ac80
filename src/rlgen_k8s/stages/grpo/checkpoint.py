"""A checkpoint in the precision that the policy ran in."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from rlgen_k8s.stages.grpo.settings import GrpoSettings


def in_precision_of_passes(model: Path, settings: GrpoSettings) -> None:
    """Bring what verl saved, fp32 weights in Hugging Face format, to the precision of the forward passes, in place.

    With bf16 that is the policy itself: verl casts each weight so before it is used, in rollouts and in training.
    `config.json` names the precision: verl leaves the base model's there, which a loader would cast the weights to.
    """
    if settings.precision == "bf16":
        _halve(model)
    fields = json.loads((model / "config.json").read_text())
    fields["dtype"] = {"bf16": "bfloat16", "fp32": "float32"}[settings.precision]
    fields.pop("torch_dtype", None)
    _write(model / "config.json", fields)


def _halve(model: Path) -> None:
    """Cast the weights to bfloat16; one file of them is in memory at a time."""
    size = 0
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, "pt") as saved:
            metadata = saved.metadata()
            weights = {name: saved.get_tensor(name).bfloat16() for name in saved.keys()}  # noqa: SIM118
        size += sum(weight.nbytes for weight in weights.values())
        save_file(weights, file, metadata)
    for index in model.glob("*.safetensors.index.json"):
        fields = json.loads(index.read_text())
        fields["metadata"]["total_size"] = size
        _write(index, fields)


def _write(file: Path, fields: dict[str, Any]) -> None:
    file.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")

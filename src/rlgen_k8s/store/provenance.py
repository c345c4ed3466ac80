"""With what code, libraries and image a result was made."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rlgen_k8s.store.manifest import Provenance

LIBRARIES = (
    "accelerate",
    "datasets",
    "deepspeed",
    "llamafactory",
    "lm-eval",
    "math-verify",
    "numpy",
    "safetensors",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
    "verl",
    "vllm",
)


def provenance() -> Provenance:
    """That of this process. `RLGEN_IMAGE` holds the image inside a container, `RLGEN_COMMIT` the commit that it was
    built from."""
    commit = os.environ.get("RLGEN_COMMIT") or _git_commit(Path(__file__).parent)
    packages = {name: found for name in LIBRARIES if (found := _version(name))}
    return Provenance(
        code=_version("rlgen-k8s") + (f"+{commit}" if commit else ""),
        packages={"python": platform.python_version(), **packages},
        image=os.environ.get("RLGEN_IMAGE", ""),
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _git_commit(folder: Path) -> str:
    """The commit of the checkout that `folder` is in, marked `-dirty` when files differ from it; "" without one."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""

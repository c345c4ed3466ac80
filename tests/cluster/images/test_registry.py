"""What the registry says of the images: user, size, and nothing of the machine that built them."""

import io
import json
import os
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import pyarrow
import pytest

ROOT = Path(__file__).parents[3]
MB = 1_000_000
LIMITS = {
    "base": 60 * MB,
    "stages": 3500 * MB,
    "tracking": 350 * MB,
    "database": 180 * MB,
    "minio": 60 * MB,
    "workflow-controller": 40 * MB,
    "argocli": 50 * MB,
    "argoexec": 50 * MB,
}
COMMANDS = {"minio": "minio", "workflow-controller": "workflow-controller", "argocli": "argo", "argoexec": "argoexec"}


def of_this_machine() -> set[str]:
    """Folders of this machine, and where it looks for packages."""
    found = {str(ROOT), str(Path.home() / ".cache")}
    found |= {value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_")) and len(value) > 4}
    found |= {value for name, value in os.environ.items() if name.lower().endswith("_proxy") and value}
    configured = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    found |= {
        line.partition("=")[2].strip("'") for line in configured.splitlines() if "index" in line or "find" in line
    }
    return found


@pytest.mark.parametrize("name", LIMITS)
def test_it_runs_as_a_user_without_rights(inspect, name):
    assert inspect(name, "--config")["config"]["User"] == "65532:65532"


@pytest.mark.parametrize("name", LIMITS)
def test_it_is_no_bigger_than_it_has_to_be(inspect, name):
    size = sum(layer["size"] for layer in inspect(name)["layers"])
    assert size <= LIMITS[name], f"{size / MB:.0f} MB"


@pytest.mark.parametrize("name", LIMITS)
def test_its_environment_and_history_name_nothing_of_the_machine_that_built_it(inspect, name):
    text = json.dumps(inspect(name, "--config"))
    assert not [word for word in of_this_machine() if word in text]


def test_the_stages_say_which_commit_they_are_of(inspect):
    code = ["src", "workflows", "pyproject.toml", "uv.lock"]
    log = subprocess.run(["git", "log", "-1", "--format=%H", "--", *code], cwd=ROOT, capture_output=True, text=True)
    variables = dict(pair.split("=", 1) for pair in inspect("stages", "--config")["config"]["Env"])
    assert variables["RLGEN_COMMIT"].removesuffix("-dirty") == log.stdout.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_image_of_one_binary_holds_that_certificates_and_tmp(inspect, name):
    modes = {}
    for layer in inspect(name)["layers"]:
        url = f"http://localhost:5000/v2/rlgen/{name}/blobs/{layer['digest']}"
        with urllib.request.urlopen(url) as answer:
            blob = pyarrow.input_stream(io.BytesIO(answer.read()), compression="zstd")
        with tarfile.open(fileobj=blob, mode="r|") as files:
            modes |= {file.name.strip("/"): file.mode & 0o7777 for file in files}
    assert modes.pop("tmp") == 0o1777
    assert {path for path in modes if not any(other.startswith(f"{path}/") for other in modes)} == {
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        f"usr/local/bin/{COMMANDS[name]}",
    }
    assert not [path for path, mode in modes.items() if mode & 0o6022]

"""The lock holds two environments that cannot be one: with LLaMA-Factory, and with vLLM."""

import os
import subprocess
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PLAIN = ("--no-hashes", "--no-header", "--no-annotate", "--no-emit-project")
HERE = {
    "platform_machine": "x86_64",
    "sys_platform": "linux",
    "python_full_version": "3.11.9",
    "python_version": "3.11",
}


def uv(*arguments: str, cache: Path) -> str:
    """What the project's uv prints, with nothing but the repository to read from."""
    environment = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_OFFLINE": "1"}
    command = [ROOT / ".uv/bin/uv", "--quiet", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def locked(*groups: str, cache: Path) -> dict[str, str]:
    """The version of each package that Python 3.11 gets with these options, each named once."""
    lines = uv("export", "--frozen", *PLAIN, *groups, cache=cache)
    wanted = [Requirement(line) for line in lines.splitlines()]
    taken = [one for one in wanted if one.marker is None or one.marker.evaluate(HERE)]
    versions = {one.name: str(one.specifier).removeprefix("==") for one in taken}
    assert len(versions) == len(taken)
    return versions


def test_the_lock_is_what_the_project_asks_for(tmp_path: Path) -> None:
    uv("lock", "--check", cache=tmp_path)


def test_each_environment_has_its_transformers_and_both_have_the_same_torch(tmp_path: Path) -> None:
    sft = locked("--no-dev", cache=tmp_path)
    vllm = locked("--no-default-groups", "--group=vllm", cache=tmp_path)
    assert (sft["transformers"], sft["llamafactory"]) == ("5.5.4", "0.9.5")
    assert vllm["transformers"].startswith("5.9.") and vllm["vllm"] == "0.24.0"
    assert "vllm" not in sft and "llamafactory" not in vllm
    # In older ones verl's training processes but the first cannot load a model of transformers 5.
    assert Version(vllm["accelerate"]) >= Version("1.13")
    for package in ("torch", "verl", "lm-eval", "ray", "mlflow", "safetensors"):
        assert sft[package] == vllm[package]

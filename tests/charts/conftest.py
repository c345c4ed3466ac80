import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/rlgen"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlgen-k8s"
IMAGES = "images.stages=registry.test/stages:1,images.tracking=registry.test/tracking:1"

Objects = list[dict]
Render = Callable[..., Objects]


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm; the cluster's build folder counts as PATH."""
    binary = shutil.which("helm", path=f"{os.environ['PATH']}:{CACHE / 'bin/current'}")
    assert binary, "helm: not found; run platform/cluster/build helm"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def template(helm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`helm template` of a scenario (none: the chart's own values) with helm's own arguments."""

    def run(scenario: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        values = ["--values", str(CHART / f"values/{scenario}.yaml")] if scenario else []
        return helm("template", "rlgen", str(CHART), "--namespace", "rlgen", "--set", IMAGES, *values, *arguments)

    return run


@pytest.fixture(scope="session")
def render(template) -> Render:
    """The objects of a scenario."""

    def objects(scenario: str | None, *arguments: str) -> Objects:
        done = template(scenario, *arguments)
        assert done.returncode == 0, done.stderr
        return [item for item in yaml.safe_load_all(done.stdout) if item]

    return objects


@pytest.fixture(scope="session")
def refuse(template) -> Callable[..., str]:
    """What helm says to values that must be refused."""

    def message(*arguments: str, scenario: str | None = None) -> str:
        done = template(scenario, *arguments)
        assert done.returncode != 0, f"accepted {arguments}"
        return done.stderr

    return message

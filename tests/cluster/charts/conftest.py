import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import reach_tracking, read_platform, shared_store
from rlgen_k8s.store.results import Store

ROOT = Path(__file__).parents[3]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlgen-k8s"
PATH = f"{os.environ['PATH']}:{CACHE / 'bin/current'}"
DNS = ("--set", "networkPolicies.dnsPorts={53,1053}")


@dataclass(frozen=True)
class Installation:
    """A namespace with a platform of its own."""

    namespace: str
    values: str

    def install(self, *arguments: str) -> str:
        """`platform/install` of this scenario; the first call makes the namespace."""
        return self.run("platform/install", *DNS, *arguments)

    def uninstall(self) -> str:
        """`platform/uninstall`, until its pods are gone."""
        said = self.run("platform/uninstall")
        for pod in self.get("pods"):
            self.kubectl("wait", "--for=delete", f"pod/{pod['metadata']['name']}", "--timeout=120s")
        return said

    def run(self, *command: str) -> str:
        """A command of the repository, on this namespace."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=1100, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "RLGEN_NAMESPACE": self.namespace, "VALUES": self.values}

    def kubectl(self, *arguments: str, stdin: Any = None) -> str:
        """kubectl in this namespace; `stdin` is an object for `--filename -`."""
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            env=self.environment,
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {arguments}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, kind: str, *names: str) -> list[dict[str, Any]]:
        """Objects of a kind: the named ones, or all."""
        found = json.loads(self.kubectl("get", kind, *names, "--output", "json"))
        return found.get("items", [found])

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        return {key: base64.b64decode(value).decode() for key, value in self.get("secret", name)[0]["data"].items()}

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store, through a forwarded port."""
        cluster = connect(self.namespace)
        with shared_store(cluster, read_platform(cluster)) as store:
            yield store

    @contextmanager
    def tracking(self) -> Iterator[MlflowClient]:
        """MLflow, through a forwarded port."""
        cluster = connect(self.namespace)
        with reach_tracking(cluster, read_platform(cluster)) as uri:
            yield MlflowClient(uri)

    def keep_run(self, experiment: str) -> str:
        """A run with a metric and a file, in a new experiment; its id."""
        with self.tracking() as tracking:
            run = str(tracking.create_run(tracking.create_experiment(experiment)).info.run_id)
            tracking.log_metric(run, "accuracy", 0.646)
            tracking.log_text(run, "still here", "note.txt")
        return run

    def check_run(self, run: str, folder: Path) -> None:
        """Such a run is there, whole; its file is brought to `folder`."""
        with self.tracking() as tracking:
            assert tracking.get_run(run).data.metrics == {"accuracy": 0.646}
            note = Path(tracking.download_artifacts(run, "note.txt", str(folder)))
            assert note.read_text() == "still here"

    def remove(self) -> None:
        """Everything, data included."""
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=300s")


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """What is run from here finds what the development cluster built."""
    os.environ["PATH"] = PATH


@pytest.fixture(scope="session")
def gpu_box(tools) -> Iterator[Installation]:
    """The scenario `gpu-box`, asking for less than a GPU machine has."""
    installation = Installation("rlgen-gpu-box", "gpu-box")
    installation.remove()
    installation.install("--set", "minio.resources.requests.cpu=20m,minio.resources.requests.memory=256Mi")
    yield installation
    installation.remove()


@pytest.fixture(scope="session")
def make_installation() -> type[Installation]:
    return Installation

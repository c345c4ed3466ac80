"""The current cluster as tests use it: `make cluster`, `make images` and `make install` come first."""

import itertools
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.watch import Watch
from mlflow import MlflowClient

from rlgen_k8s.runners.argo import status
from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import credentials, reach_tracking, read_platform, shared_store
from rlgen_k8s.runners.argo.workflows import GROUP, PLURAL, VERSION, ended
from rlgen_k8s.store.results import Store

ROOT = Path(__file__).parents[2]
RLGEN = Path(sys.executable).with_name("rlgen")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlgen-k8s"
NAMESPACE = os.environ.get("RLGEN_NAMESPACE", "rlgen")
FIRST_FRESH = 10_000_000
Json = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """What a test does with the cluster, and what it sees there."""

    namespace: str
    core: client.CoreV1Api
    custom: client.CustomObjectsApi
    store: Store
    environment: dict[str, str] = field(repr=False)
    submitted: list[str] = field(default_factory=list)

    @property
    def workflows(self) -> tuple[str, str, str, str]:
        """Where workflows are, as `custom` wants to be told."""
        return GROUP, VERSION, self.namespace, PLURAL

    def rlgen(self, *arguments: str, code: int | None = 0, timeout: float = 600) -> str:
        """Run `rlgen` as a user does; its output. Fails unless it ends with `code` (None: any)."""
        return self.run(str(RLGEN), *arguments, code=code, timeout=timeout)

    def make(self, *arguments: str, timeout: float = 600) -> str:
        """Run `make` as a user does, whatever `make` these tests run in; its output."""
        return self.run("env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", *arguments, timeout=timeout)

    def run(self, *command: str, code: int | None = 0, timeout: float = 600) -> str:
        """Run a command in the repository with the store's keys; its output. Fails unless it ends with `code`."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        text = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{' '.join(command)}: exit {done.returncode}\n{text}"
        return text

    def submit(self, *settings: str, study: str = "tiny", until: tuple[str, ...] = ()) -> str:
        """Submit a study with `field=value` settings and return its workflow's name."""
        options = [word for pair in settings for word in ("--set", pair)]
        options += [word for task in until for word in ("--until", task)]
        return self.created(self.rlgen("submit", study, *options))

    def created(self, said: str) -> str:
        """The name of the workflow that a submission says it created."""
        name, _, rest = said.partition(": ")
        assert rest.startswith("submitted"), said
        self.submitted.append(name)
        return name

    def names(self) -> list[str]:
        """The workflows that there are."""
        return [
            item["metadata"]["name"] for item in self.custom.list_namespaced_custom_object(*self.workflows)["items"]
        ]

    def workflow(self, name: str) -> Json:
        """A workflow as it is now."""
        found: Json = self.custom.get_namespaced_custom_object(*self.workflows, name)
        return found

    def attempts(self, name: str, task: str) -> list[Json]:
        """What Argo says of each attempt at a task, oldest first."""
        return [dict(node) for node in status.attempts(self.workflow(name), task)]

    def wait(self, name: str, seen: Callable[[Json], Any], timeout: float = 300) -> Json:
        """The workflow as soon as `seen` holds of it."""
        return self._watch(self.custom.list_namespaced_custom_object, self.workflows, _named(name), seen, timeout)

    def end(self, name: str, timeout: float = 600) -> Json:
        """The workflow when it has ended."""
        return self.wait(name, ended, timeout)

    def wait_pods(self, labels: Json, seen: Callable[[Json], Any], timeout: float = 300) -> Json:
        """The first pod with these labels of which `seen` holds, as soon as it does."""
        selector = {"label_selector": ",".join(f"{name}={value}" for name, value in labels.items())}
        return self._watch(self.core.list_namespaced_pod, (self.namespace,), selector, seen, timeout)

    def pod(self, workflow: str, task: str, timeout: float = 300, after: Collection[str] = ()) -> str:
        """The name of a task's pod as soon as its main container runs; none of those in `after` (name or uid)."""

        def runs(pod: Json) -> bool:
            return not {pod["metadata"]["name"], pod["metadata"]["uid"]} & set(after) and _runs(pod)

        labels = {"workflows.argoproj.io/workflow": workflow, "rlgen-k8s/task": task}
        return str(self.wait_pods(labels, runs, timeout)["metadata"]["name"])

    def execute(self, pod: str, *command: str, code: int | None = 0) -> str:
        """Run a command in a stage's container; its output."""
        done = subprocess.run(
            ["kubectl", "exec", f"--namespace={self.namespace}", pod, "--container=main", "--", *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code is None or done.returncode == code, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def _watch(
        self,
        listing: Callable[..., Any],
        arguments: tuple[str, ...],
        selector: Json,
        seen: Callable[[Json], Any],
        timeout: float,
    ) -> Json:
        """The first object that `seen` holds of; what the last one looked like, if that never comes."""
        ends = time.monotonic() + timeout
        last: Json = {}
        while (left := ends - time.monotonic()) > 0:
            for event in Watch().stream(listing, *arguments, timeout_seconds=max(1, int(left)), **selector):
                last = self.core.api_client.sanitize_for_serialization(event["object"])
                if event["type"] != "DELETED" and seen(last):
                    return last
        raise AssertionError(f"{selector}: not seen in {timeout} s; last: {json.dumps(last.get('status', {}))[:3000]}")


def _named(name: str) -> Json:
    return {"field_selector": f"metadata.name={name}"}


def _runs(pod: Json) -> bool:
    statuses = pod["status"].get("containerStatuses") or []
    main = any(one["name"] == "main" and "running" in (one.get("state") or {}) for one in statuses)
    return main and "deletionTimestamp" not in pod["metadata"]


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """What is run from here finds what `make cluster` built."""
    os.environ["PATH"] = f"{CACHE / 'bin/current'}:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def cluster(tools: None) -> Iterator[Cluster]:
    """The platform in the namespace `rlgen`."""
    reached = connect(NAMESPACE)
    platform = read_platform(reached)
    with shared_store(reached, platform) as store:
        yield Cluster(NAMESPACE, reached.core, reached.custom, store, dict(credentials(reached, platform)))


@pytest.fixture(scope="session")
def tracking(cluster: Cluster) -> Iterator[MlflowClient]:
    """The platform's MLflow."""
    reached = connect(NAMESPACE)
    with reach_tracking(reached, read_platform(reached)) as uri:
        yield MlflowClient(uri)


@pytest.fixture(scope="session")
def fresh_seeds() -> Iterator[int]:
    """Seeds that nobody has used: nothing of a study with one is in the store yet."""
    return itertools.count(FIRST_FRESH + 1000 * secrets.randbelow(10**6))


@pytest.fixture
def seed(fresh_seeds: Iterator[int]) -> int:
    """One of them."""
    return next(fresh_seeds)


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start `rlgen` with its output on a pipe; whatever still runs at the end of the test is ended."""
    started = []

    def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [RLGEN, *arguments],
            cwd=ROOT,
            env=cluster.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()

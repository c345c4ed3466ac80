"""The built images, and a pod of each that is as restricted as the platform's own."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch

BUILT = Path(__file__).parents[3] / "images" / ".built"
NAMESPACE = "rlgen-images-test"
REFUSED = ("ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError")

Inspect = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """How a container ended."""

    code: int
    output: str


@dataclass(frozen=True)
class Pods:
    """Runs an image's command to its end, in a pod with a read-only root and a `/tmp`."""

    core: client.CoreV1Api

    def run(self, name: str, *arguments: str, command: str = "", user: int | None = None, **environ: str) -> Ended:
        """What the image `name` makes of `arguments`; with another command or user than its own, if given."""
        pod = self.core.create_namespaced_pod(NAMESPACE, _pod(name, arguments, command, user, environ)).metadata.name
        code = self._exit_code(pod)
        output = self.core.read_namespaced_pod_log(pod, NAMESPACE)
        self.core.delete_namespaced_pod(pod, NAMESPACE, grace_period_seconds=0)
        return Ended(code, output)

    def _exit_code(self, pod: str) -> int:
        field = f"metadata.name={pod}"
        watched = watch.Watch().stream(
            self.core.list_namespaced_pod, NAMESPACE, field_selector=field, timeout_seconds=900
        )
        for event in watched:
            for container in event["object"].status.container_statuses or []:
                if (ended := container.state.terminated) is not None:
                    return int(ended.exit_code)
                waiting = container.state.waiting
                assert waiting is None or waiting.reason not in REFUSED, waiting
        raise AssertionError(f"pod {pod}: had not ended after 900 s")


@pytest.fixture(scope="session")
def inspect() -> Inspect:
    """What the registry says of an image: its manifest, or with `--config` its configuration."""

    def inspect(name: str, *options: str, built: Path = BUILT) -> dict[str, Any]:
        image = f"docker://{(built / name).read_text().strip()}"
        command = ["skopeo", "inspect", "--tls-verify=false", "--raw", *options, image]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return inspect


@pytest.fixture(scope="session")
def pods() -> Iterator[Pods]:
    """Pods in a namespace that enforces the restricted Pod Security Standard."""
    config.load_kube_config()
    core = client.CoreV1Api()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace({"metadata": {"name": NAMESPACE, "labels": labels}})
    yield Pods(core)
    core.delete_namespace(NAMESPACE)
    gone = watch.Watch()
    for event in gone.stream(core.list_namespace, field_selector=f"metadata.name={NAMESPACE}", timeout_seconds=120):
        if event["type"] == "DELETED":
            gone.stop()


def _pod(
    name: str, arguments: tuple[str, ...], command: str, user: int | None, environ: dict[str, str]
) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": (BUILT / name).read_text().strip(),
        "command": [command] if command else None,
        "args": list(arguments),
        "env": [{"name": key, "value": value} for key, value in environ.items()],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "metadata": {"generateName": f"{name}-"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }

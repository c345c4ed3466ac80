"""Pods of a namespace of their own on the cluster for development: what they see is what the cluster does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kubernetes import client, config, watch

IMAGE = Path(__file__).parents[3] / "images" / ".built" / "base"


@dataclass(frozen=True)
class Pods:
    """A namespace that enforces the restricted standard, and pods in it."""

    namespace: str
    core: client.CoreV1Api
    network: client.NetworkingV1Api

    def start(self, name: str, script: str, *, claim: str = "", user: int = 65532, **options: Any) -> None:
        """Make a pod that runs a script; with a claim, its volume is at /data. Options: labels, gpus."""
        gpus = {"nvidia.com/gpu": str(options["gpus"])} if "gpus" in options else {}
        container = {
            "name": "main",
            "image": IMAGE.read_text().strip(),
            "command": ["bash", "-c", script],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": gpus},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}] if claim else [],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else [],
        }
        metadata = {"name": name, "labels": options.get("labels", {})}
        self.core.create_namespaced_pod(self.namespace, {"metadata": metadata, "spec": spec})

    def run(self, name: str, script: str, **options: Any) -> list[str]:
        """Run a script in a pod to its end; the lines that it wrote."""
        self.start(name, script, **options)
        ended = self.wait(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        log = self.core.read_namespaced_pod_log(name, self.namespace)
        assert ended.status.phase == "Succeeded", log
        return str(log).splitlines()

    def serve(self, name: str, *ports: int, **options: Any) -> str:
        """Make a pod that accepts connections on these ports; its address, as soon as it does."""
        listen = "IO::Socket::INET->new(LocalPort => $_, Listen => 9, ReuseAddr => 1) or die $!"
        code = f"$| = 1; my @all = map {{ {listen} }} @ARGV; print qq(ready\\n); sleep"
        self.start(name, f"exec perl -MIO::Socket::INET -e '{code}' {' '.join(map(str, ports))}", **options)
        pod = self.wait(name, lambda pod: pod.status.phase == "Running" and pod.status.pod_ip)
        for line in watch.Watch().stream(self.core.read_namespaced_pod_log, name, self.namespace, _request_timeout=60):
            if line == "ready":
                return str(pod.status.pod_ip)
        raise AssertionError(f"{name} ended: {self.core.read_namespaced_pod_log(name, self.namespace)}")

    def wait(self, name: str, seen: Any, timeout: int = 60) -> Any:
        """The pod as soon as `seen` holds of it."""
        last = None
        for event in watch.Watch().stream(
            self.core.list_namespaced_pod,
            self.namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=timeout,
        ):
            last = event["object"]
            if seen(last):
                return last
        raise AssertionError(f"pod {name}: not seen within {timeout} s; last: {last and last.status}")


@pytest.fixture(scope="module")
def pods() -> Iterator[Pods]:
    config.load_kube_config()
    made = Pods(f"rlgen-test-{uuid4().hex[:8]}", client.CoreV1Api(), client.NetworkingV1Api())
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made.core.create_namespace({"metadata": {"name": made.namespace, "labels": labels}})
    yield made
    made.core.delete_namespace(made.namespace)

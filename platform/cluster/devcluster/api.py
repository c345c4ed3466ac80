"""The running cluster, seen through its API server."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from devcluster.components import NEEDED_BY_QUEUES
from devcluster.configuration import fill
from devcluster.output import UserError
from devcluster.paths import API, CERTIFICATES, NODE, SOURCE
from devcluster.processes import Service, require_alive

_PATIENCE = 120
_GPU = "nvidia.com/gpu"


def wait_for(what: str, holds: Callable[[], bool], services: tuple[Service, ...]) -> None:
    """Wait until it holds; a service that ends meanwhile ends the wait."""
    until = time.monotonic() + _PATIENCE
    while not holds():
        for service in services:
            require_alive(service)
        if time.monotonic() > until:
            raise UserError(f"{what}: not within {_PATIENCE} s; see the logs of {', '.join(s.name for s in services)}")
        time.sleep(0.1)


def api_ready() -> bool:
    """Whether the API server says so."""
    return _call("GET", "/readyz") is not None


def node_ready() -> bool:
    """Whether kubelet says that the node takes pods."""
    node = _call("GET", f"/api/v1/nodes/{NODE}")
    conditions = node["status"].get("conditions", []) if node else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def dns_ready() -> bool:
    """Whether names in the cluster are answered."""
    return _deployment_ready("kube-system", "coredns")


def queues_ready() -> bool:
    """Whether JobSet and Kueue are at work, their webhooks included."""
    return all(_deployment_ready(f"{name}-system", f"{name}-controller-manager") for name in NEEDED_BY_QUEUES)


def _deployment_ready(namespace: str, name: str) -> bool:
    found = _call("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    return bool(found and found["status"].get("readyReplicas"))


def accounts_ready() -> bool:
    """Whether pods can be made: they need their namespace's service account."""
    return _call("GET", "/api/v1/namespaces/default/serviceaccounts/default") is not None


def manifests() -> str:
    """What every cluster has in it: a storage class and DNS."""
    return "\n---\n".join(fill(path) for path in sorted((SOURCE / "manifests").iterdir()))


def set_gpus(count: int) -> None:
    """Make the node say that it has so many GPUs; 0 takes them away. kubelet leaves such a resource alone."""
    path = f"/api/v1/nodes/{NODE}/status"
    node = _call("GET", path)
    present = (node or {"status": {}})["status"].get("capacity", {}).get(_GPU)
    if present == (str(count) if count else None):
        return
    change = {"op": "add", "value": str(count)} if count else {"op": "remove"}
    name = _GPU.replace("/", "~1")
    _call("PATCH", path, [change | {"path": f"/status/{place}/{name}"} for place in ("capacity", "allocatable")])


def gpus() -> int:
    """How many GPUs the scheduler may give away."""
    node = _call("GET", f"/api/v1/nodes/{NODE}")
    return int((node or {"status": {}})["status"].get("allocatable", {}).get(_GPU, "0"))


def _call(method: str, path: str, body: object = None) -> Any:
    """The answer; None if there is none, or it is not there."""
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))
    context.load_cert_chain(CERTIFICATES / "admin.crt", CERTIFICATES / "admin.key")
    request = urllib.request.Request(API + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json-patch+json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return text if text == "ok" else json.loads(text)

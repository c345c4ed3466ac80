"""Kubernetes as the user's kubeconfig names it, and its errors as one line."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api, CustomObjectsApi
from kubernetes.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    new_client_from_config,
)
from kubernetes.config.incluster_config import SERVICE_TOKEN_FILENAME
from urllib3.exceptions import HTTPError

from rlgen_k8s.errors import TryAgainError, UserError

DEFAULT_NAMESPACE = "rlgen"
TRANSIENT = (429, 500, 502, 503, 504)
TIMEOUT = (3.0, 20.0)
"""Seconds for connecting to the API server, and for its answer."""


@dataclass(frozen=True)
class Kind:
    """A kind of object of a CRD."""

    group: str
    version: str
    plural: str


@dataclass(frozen=True)
class Cluster:
    """A context of the kubeconfig, and the namespace of the platform there."""

    client: ApiClient
    context: str
    namespace: str

    @property
    def host(self) -> str:
        """The API server's address."""
        return str(self.client.configuration.host)

    @cached_property
    def core(self) -> CoreV1Api:
        """Pods, Secrets, ConfigMaps…"""
        return CoreV1Api(self.client)

    @cached_property
    def custom(self) -> CustomObjectsApi:
        """Objects of CRDs, as plain JSON values."""
        return CustomObjectsApi(self.client)


def connect(namespace: str | None = None) -> Cluster:
    """The cluster of the kubeconfig's current context. Talks to nobody yet.

    The namespace is the given one, else `$RLGEN_NAMESPACE`, else the context's, else `rlgen`.
    """
    try:
        _, current = list_kube_config_contexts()
        client = new_client_from_config(client_configuration=_settings())
    except ConfigException as error:
        raise UserError(
            f"kubeconfig: {str(error).rstrip('.')}; set KUBECONFIG or choose a context with "
            "`kubectl config use-context`; `make cluster` starts a cluster on this machine"
        ) from error
    given = namespace or os.environ.get("RLGEN_NAMESPACE") or current["context"].get("namespace")
    return Cluster(client, current["name"], given or DEFAULT_NAMESPACE)


def connect_inside() -> Cluster:
    """The cluster that this pod runs in, as its service account may see it, and the pod's own namespace."""
    load_incluster_config(client_configuration=(settings := _settings()))
    namespace = Path(SERVICE_TOKEN_FILENAME).with_name("namespace").read_text().strip()
    return Cluster(ApiClient(settings), "of this pod", namespace)


def _settings() -> Configuration:
    settings = Configuration()
    settings.retries = False  # three silent tries of urllib3's would only delay the message
    return settings


@contextmanager
def talking(cluster: Cluster) -> Iterator[None]:
    """Turn what the API server refuses into `UserError`, and its absence into `TryAgainError`."""
    try:
        yield
    except ApiException as error:
        said = f"Kubernetes (context {cluster.context}): {explain(error)}"
        raise (TryAgainError if error.status in TRANSIENT else UserError)(said) from error
    except HTTPError as error:
        raise TryAgainError(
            f"Kubernetes at {cluster.host} (context {cluster.context}): not reachable ({brief(error)}); "
            "is it up? `make cluster` starts the one of this machine"
        ) from error


def explain(error: ApiException) -> str:
    """What the API server said, in one line."""
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = error.body or error.reason or "no reason given"
        if error.status == 404:  # of the path, not of an object: the API server does not know the kind
            said = "no such kind of object; `make install` installs Argo's"
    hint = "; `rlgen doctor` lists the rights that are needed" if error.status == 403 else ""
    return f"{error.status}: {' '.join(str(said).split())}{hint}"


def brief(error: Exception) -> str:
    """The innermost reason of a connection error."""
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).rpartition(": ")[2].split())


def read(call: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
    """The JSON object that a method of the client reads, as the API server sent it."""
    response = call(*arguments, **options, _preload_content=False, _request_timeout=TIMEOUT)
    answer: dict[str, Any] = json.loads(response.data)
    return answer

"""The platform on a cluster: what its ConfigMap says, and the shared store as reached from this machine."""

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from kubernetes.client import ApiException

from rlgen_k8s.dag.place import CacheClaim, Queue
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.api import Cluster, read, talking
from rlgen_k8s.runners.argo.forward import forward, is_service
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store
from rlgen_k8s.study.settings import Study

CONFIG_MAP = "rlgen-platform"
REQUIRED = ("store", "tracking", "image", "service-account", "executor-service-account", "store-secret")
ACCESS_KEY, SECRET_KEY = "access-key", "secret-key"
ANSWER_SECONDS = 2.0
"""How long MLflow or a registry may take to answer what nothing depends on."""


@dataclass(frozen=True)
class Platform:
    """What `rlgen submit` needs to know of the platform. An empty public address is unknown."""

    store: str
    store_public: str
    tracking: str
    tracking_public: str
    argo_ui: str
    argo_forwarded: str
    """Argo's UI once its port is forwarded; empty where the platform has none of its own."""
    image: str
    image_vllm: str
    """Of stages whose engine is vLLM; empty where it was not built."""
    service_account: str
    executor_service_account: str
    store_secret: str
    chart_version: str
    launcher_service_account: str
    queue: str
    """Kueue's LocalQueue; empty where there is none."""
    queue_priority: str
    cache: str
    """Claim of the nodes' caches; empty where there are none."""
    cache_gib: str
    uid: str
    """Tells this platform from every other one that may share the store."""

    @property
    def stages_queue(self) -> Queue | None:
        """What the workflow needs to know of it."""
        return Queue(self.queue, self.queue_priority, self.launcher_service_account) if self.queue else None

    @property
    def cache_claim(self) -> CacheClaim | None:
        """What the workflow needs to know of the nodes' caches."""
        return CacheClaim(self.cache, float(self.cache_gib)) if self.cache else None


def read_platform(cluster: Cluster) -> Platform:
    """The platform in the cluster's namespace. Raises `UserError` when there is none, or it says too little."""
    with talking(cluster):
        try:
            found = read(cluster.core.read_namespaced_config_map, CONFIG_MAP, cluster.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            raise UserError(
                f"ConfigMap {CONFIG_MAP}: not in namespace {cluster.namespace} of context {cluster.context}; "
                "`make install` installs the platform, RLGEN_NAMESPACE names another namespace"
            ) from None
    return parse_platform(found.get("data") or {}, cluster.namespace, found["metadata"]["uid"])


def parse_platform(data: Mapping[str, str], namespace: str, uid: str) -> Platform:
    """A ConfigMap's data as a platform. Raises `UserError` that names the first key that is missing or empty."""
    for key in REQUIRED:
        if not data.get(key):
            raise UserError(
                f"ConfigMap {CONFIG_MAP} in {namespace}: {key} is missing or empty; run `make install` again"
            )
    fields = {field: data.get(field.replace("_", "-"), "").strip() for field in Platform.__dataclass_fields__}
    return Platform(**{**fields, "uid": uid})


def image_of(platform: Platform, study: Study | None, field: Literal["image", "image_vllm"] = "image") -> str:
    """The stages' image, or that with vLLM: the study's own if it names one, else the platform's."""
    own: str = Study.model_fields[field].default if study is None else getattr(study, field)
    given: str = getattr(platform, field)
    return given if own == Study.model_fields[field].default else own


@contextmanager
def shared_store(cluster: Cluster, platform: Platform) -> Iterator[Store]:
    """The store that pods use, as reached from here; a forwarded port where it has no public address."""
    with _reachable(cluster, platform) as uri:
        yield open_store(uri, credentials(cluster, platform))


@contextmanager
def _reachable(cluster: Cluster, platform: Platform) -> Iterator[str]:
    parts = urlsplit(platform.store)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    endpoint = options.get("endpoint", "")
    if platform.store_public or not is_service(endpoint):
        yield platform.store_public or platform.store
        return
    with forward(cluster, endpoint) as local:
        yield parts._replace(query=urlencode({**options, "endpoint": local}, safe=":/")).geturl()


@contextmanager
def reach_tracking(cluster: Cluster, platform: Platform) -> Iterator[str]:
    """MLflow's address as reached from here."""
    if platform.tracking_public or not is_service(platform.tracking):
        yield platform.tracking_public or platform.tracking
        return
    with forward(cluster, platform.tracking) as local:
        yield local


def credentials(cluster: Cluster, platform: Platform) -> Mapping[str, str]:
    """The environment with the store's credentials: the user's own, or those of the platform's Secret."""
    if os.environ.get("MINIO_ACCESS_KEY") or os.environ.get("AWS_ACCESS_KEY_ID"):
        return os.environ
    with talking(cluster):
        try:
            secret = read(cluster.core.read_namespaced_secret, platform.store_secret, cluster.namespace)
        except ApiException as error:
            if error.status not in (403, 404):
                raise
            why = "it does not exist" if error.status == 404 else "you may not read it"
            raise UserError(
                f"Secret {platform.store_secret} in {cluster.namespace}: {why}; "
                "set MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or mend it with `make install`"
            ) from None
    data = secret.get("data") or {}
    for key in (ACCESS_KEY, SECRET_KEY):
        if not data.get(key):
            raise UserError(f"Secret {platform.store_secret} in {cluster.namespace}: has no {key}; expected both keys")
    access, secret_key = (base64.b64decode(data[key]).decode() for key in (ACCESS_KEY, SECRET_KEY))
    return os.environ | {"MINIO_ACCESS_KEY": access, "MINIO_SECRET_KEY": secret_key}

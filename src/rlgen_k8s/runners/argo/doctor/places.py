"""The platform's objects, the store, MLflow, the image."""

import secrets
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

from kubernetes.client import ApiException

from rlgen_k8s.dag.place import CHART
from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.runners.argo.api import read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.doctor.registry import by_digest, look_up
from rlgen_k8s.runners.argo.platform import ACCESS_KEY, ANSWER_SECONDS, SECRET_KEY, reach_tracking

PROBE_FOLDER = "_doctor"


def objects(situation: Situation) -> Check:
    """What pods refer to by name is there, with its keys."""
    core, platform = situation.cluster.core, situation.platform
    wanted: list[tuple[str, str, Callable[..., Any], tuple[str, ...]]] = [
        ("Secret", platform.store_secret, core.read_namespaced_secret, (ACCESS_KEY, SECRET_KEY)),
        ("ServiceAccount", platform.service_account, core.read_namespaced_service_account, ()),
        ("ServiceAccount", platform.executor_service_account, core.read_namespaced_service_account, ()),
        ("ConfigMap", CHART.artifact_repositories, core.read_namespaced_config_map, (CHART.artifact_repository,)),
    ]
    hidden: list[str] = []
    missing: list[str] = []
    for kind, name, call, keys in wanted:
        try:
            found = read(call, name, situation.cluster.namespace)
        except ApiException as error:
            if error.status not in (403, 404):
                raise
            (hidden if error.status == 403 else missing).append(f"{kind} {name}")
            continue
        missing += [f"{key} in {kind} {name}" for key in lacking(found, keys)]
    if missing:
        return Check("objects", False, f"missing: {', '.join(missing)}; `make install` makes them")
    if hidden:
        return Check("objects", None, f"you may not look at {', '.join(hidden)}")
    return Check("objects", True, ", ".join(f"{kind} {name}" for kind, name, _, _ in wanted))


def lacking(found: Mapping[str, Any], keys: tuple[str, ...]) -> list[str]:
    """Those of `keys` that an object's data does not have."""
    data = found.get("data") or {}
    return [key for key in keys if not data.get(key)]


def store(situation: Situation) -> Check:
    """The store takes an object from here and gives it back."""
    name, data = f"{PROBE_FOLDER}/{secrets.token_hex(8)}", b"rlgen doctor was here"
    blobs = situation.store.blobs
    try:
        blobs.put_new(name, data)
        again = blobs.read(name)
        blobs.remove(name)
    except (UserError, TryAgainError) as error:
        return Check("store", False, str(error))
    if again != data:
        return Check("store", False, f"{situation.store.uri}: gave back something else than was put")
    return Check(
        "store", True, f"{situation.store.uri}: written, read and removed a probe; pods use {situation.platform.store}"
    )


def tracking(situation: Situation) -> Check:
    """MLflow answers. Stages do not fail without it, so it is never a reason not to submit."""
    try:
        with (
            reach_tracking(situation.cluster, situation.platform) as uri,
            urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS) as answer,
        ):
            answer.read()
    except (OSError, HTTPException, UserError, TryAgainError) as error:
        return Check(
            "mlflow", None, f"does not answer ({error}); stages run all the same, and send what they noted later"
        )
    return Check("mlflow", True, f"{uri} answers")


def image(situation: Situation) -> Check:
    """The images can be pulled: their registries have the manifests, or a node has the images already."""
    on_vllm = [node.name for node in situation.todo if node.on_vllm]
    if on_vllm and not situation.image_vllm:
        advice = "`VLLM=1 make images` builds it, then `make install`; or set image_vllm"
        return Check("image", False, f"{on_vllm[0]} runs on vLLM, and the platform names no image with it; {advice}")
    checks = [_pulled(situation, situation.image)]
    if on_vllm:
        checks.append(_pulled(situation, situation.image_vllm))
    return next((check for check in checks if not check.ok), checks[-1])


def _pulled(situation: Situation, name: str) -> Check:
    there = look_up(name, ANSWER_SECONDS)
    pinned = "@" in name
    if there.found and pinned:
        return Check("image", True, f"{name}: {there.said}")
    if there.digest:
        return Check("image", True, f"{name}: {there.said}; pods run {by_digest(name, there.digest)}")
    unknown = f"{there.said}{', but not its digest' * bool(there.found)}; pods run it, and results name it, by its tag"
    if there.found:
        return Check("image", None, f"{name}: {unknown}")
    try:
        nodes = read(situation.cluster.core.list_node)["items"]
    except ApiException as error:
        if error.status != 403:
            raise
        nodes = []
    holders = [node["metadata"]["name"] for node in nodes if holds(node, name)]
    if holders:
        known = f"{name}: on node {', '.join(holders[:3])}"
        return Check("image", True, known) if pinned else Check("image", None, f"{known}; {unknown}")
    if there.found is None:
        return Check("image", None, f"{name}: {there.said}, and no node has it; the first pod will tell")
    return Check("image", False, f"{name}: {there.said}; `make images` builds and pushes it, then `make install`")


def holds(node: Mapping[str, Any], image: str) -> bool:
    """Whether a node has pulled an image before."""
    return any(image in (listed.get("names") or ()) for listed in node["status"].get("images") or ())

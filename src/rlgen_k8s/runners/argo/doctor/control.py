"""The API server, Argo's kinds and controller, this user's rights, the namespace's security."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.client import (
    ApiException,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    VersionApi,
)

from rlgen_k8s.runners.argo.api import TIMEOUT, Cluster, explain, read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.workflows import GROUP, PLURAL, VERSION
from rlgen_k8s.runners.argo.workloads import WORKLOADS

CONTROLLER = "app.kubernetes.io/component in (argo-controller, workflow-controller)"
"""Label of the controller's pods, by our chart and by Argo's."""
RIGHTS = (
    *((GROUP, PLURAL, "", verb) for verb in ("create", "get", "list", "watch", "patch")),
    *(("", "pods", "", verb) for verb in ("get", "list")),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
    ("", "configmaps", "", "get"),
)
"""Group, resource, subresource, verb: what the commands use."""
QUEUE_RIGHTS = ((WORKLOADS.group, WORKLOADS.plural, "", "list"),)
"""The same where there is a queue, of which `watch` tells."""


def api(cluster: Cluster) -> Check:
    """The API server answers. Raises what the client raises when it does not."""
    version = read(VersionApi(cluster.client).get_code)["gitVersion"]
    return Check("api", True, f"Kubernetes {version} at {cluster.host}, namespace {cluster.namespace}")


def kinds(situation: Situation) -> Check:
    """Argo's CRDs, by a workflow that is never made: with the full schema, a field that is none is refused."""
    cluster = situation.cluster
    probe = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Workflow",
        "metadata": {"name": "rlgen-doctor"},
        "spec": {"entrypoint": "none", "templates": [], "rlgenDoctor": "a field that is none"},
    }
    try:
        cluster.custom.create_namespaced_custom_object(
            GROUP,
            VERSION,
            cluster.namespace,
            PLURAL,
            probe,
            dry_run="All",
            field_validation="Strict",
            _request_timeout=TIMEOUT,
        )
    except ApiException as error:
        return kinds_verdict(error.status, explain(error))
    return kinds_verdict(201, "")


def kinds_verdict(status: int, said: str) -> Check:
    """What the API server's answer to the probe means."""
    if status in (400, 422) and "rlgenDoctor" in said:
        return Check("argo", True, f"Workflow {VERSION} with its full schema")
    if status == 404:
        return Check("argo", False, f"no kind Workflow in {GROUP}/{VERSION}; `make install` installs Argo's CRDs")
    if status == 403:
        return Check("argo", None, "cannot tell: you may not create workflows")
    if status == 201:
        return Check(
            "argo", False, "Workflow's CRD has a minimal schema, so mistakes pass unseen; install Argo's full CRDs"
        )
    return Check("argo", False, f"a workflow cannot be created: {said}")


def controller(situation: Situation) -> Check:
    """Argo's controller is at work, as its readiness probe says."""
    call = situation.cluster.core.list_namespaced_pod
    return controller_verdict(read(call, situation.cluster.namespace, label_selector=CONTROLLER)["items"])


def controller_verdict(pods: Sequence[Mapping[str, Any]]) -> Check:
    """What the state of the controller's pods means."""
    ready = [pod["metadata"]["name"] for pod in pods if _ready(pod)]
    if ready:
        return Check("controller", True, f"{', '.join(ready)} is ready")
    if pods:
        names = ", ".join(pod["metadata"]["name"] for pod in pods)
        return Check("controller", False, f"{names} is not ready; see `kubectl describe pod`")
    return Check("controller", None, "not in this namespace, so it cannot be told whether one is at work")


def _ready(pod: Mapping[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def rights(situation: Situation) -> Check:
    """What this user may do."""
    review = AuthorizationV1Api(situation.cluster.client)
    needed = (*RIGHTS, *(QUEUE_RIGHTS if situation.platform.queue else ()))
    missing = []
    for group, resource, subresource, verb in needed:
        attributes = V1ResourceAttributes(
            namespace=situation.cluster.namespace, group=group, resource=resource, subresource=subresource, verb=verb
        )
        spec = V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        asked = V1SelfSubjectAccessReview(spec=spec)
        if not read(review.create_self_subject_access_review, asked)["status"]["allowed"]:
            missing.append(f"{verb} {'/'.join(filter(None, (resource, subresource)))}")
    if missing:
        return Check("rights", False, f"you may not {', '.join(missing)}; ask whoever runs the cluster for these")
    return Check("rights", True, f"you may do all {len(needed)} things that the commands do")


def security(situation: Situation) -> Check:
    """The namespace enforces the restricted Pod Security Standard."""
    name = situation.cluster.namespace
    try:
        labels = read(situation.cluster.core.read_namespace, name)["metadata"].get("labels", {})
    except ApiException as error:
        if error.status != 403:
            raise
        return Check("security", None, f"you may not look at namespace {name}")
    level = labels.get("pod-security.kubernetes.io/enforce", "nothing")
    if level != "restricted":
        return Check(
            "security", False, f"namespace {name} enforces {level}, expected restricted; `make install` sets it"
        )
    return Check("security", True, f"namespace {name} enforces the restricted Pod Security Standard")

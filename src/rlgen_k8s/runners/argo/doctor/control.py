"""The API server, Argo's kinds and controller, this user's rights, the namespace's security."""

from datetime import UTC, datetime, timedelta

from kubernetes.client import (
    ApiException,
    AuthorizationV1Api,
    CoordinationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    VersionApi,
)

from rlgen_k8s.runners.argo.api import TIMEOUT, Cluster, explain, read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.workflows import GROUP, PLURAL, VERSION

LEASE = "workflow-controller"
LEASE_AGE = timedelta(seconds=60)
RIGHTS = (
    *((GROUP, PLURAL, "", verb) for verb in ("create", "get", "list", "watch", "patch")),
    *(("", "pods", "", verb) for verb in ("get", "list")),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
    ("", "configmaps", "", "get"),
)
"""Group, resource, subresource, verb: what the commands use."""


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
    """Argo's controller is at work: it renews its lease."""
    cluster = situation.cluster
    try:
        lease = read(CoordinationV1Api(cluster.client).read_namespaced_lease, LEASE, cluster.namespace)
    except ApiException as error:
        if error.status not in (403, 404):
            raise
        return Check("controller", None, f"no lease {LEASE} to be seen in {cluster.namespace}: cannot tell if it runs")
    return controller_verdict(lease["spec"].get("renewTime", ""), datetime.now(UTC))


def controller_verdict(renewed: str, now: datetime) -> Check:
    """What the age of the controller's lease means."""
    age = now - datetime.fromisoformat(renewed) if renewed else None
    if age is None or age > LEASE_AGE:
        since = f"for {age.total_seconds():.0f} s" if age else "ever"
        return Check(
            "controller", False, f"has not renewed its lease {since}; see `kubectl get deploy`, or `make install`"
        )
    return Check("controller", True, f"renewed its lease {max(0, age.total_seconds()):.0f} s ago")


def rights(situation: Situation) -> Check:
    """What this user may do."""
    review = AuthorizationV1Api(situation.cluster.client)
    missing = []
    for group, resource, subresource, verb in RIGHTS:
        attributes = V1ResourceAttributes(
            namespace=situation.cluster.namespace, group=group, resource=resource, subresource=subresource, verb=verb
        )
        spec = V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        asked = V1SelfSubjectAccessReview(spec=spec)
        if not read(review.create_self_subject_access_review, asked)["status"]["allowed"]:
            missing.append(f"{verb} {'/'.join(filter(None, (resource, subresource)))}")
    if missing:
        return Check("rights", False, f"you may not {', '.join(missing)}; ask whoever runs the cluster for these")
    return Check("rights", True, f"you may do all {len(RIGHTS)} things that the commands do")


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

"""JobSets: made once, adopted when they are there, removed. Every call outlives an API server or a webhook away."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from kubernetes.client import ApiException

from rlgen_k8s.errors import TryAgainError
from rlgen_k8s.runners.argo.api import TIMEOUT, Cluster, Kind, read, talking
from rlgen_k8s.runners.gang.ending import Object, ended
from rlgen_k8s.stages.frame.outage import patiently

JOBSETS = Kind("jobset.x-k8s.io", "v1alpha2", "jobsets")
T = TypeVar("T")


def make_or_adopt(cluster: Cluster, manifest: dict[str, Any]) -> None:
    """Make the JobSet unless it is there; one that is there becomes ours, too.

    One that has ended and was not ours is replaced: it tells of another workflow's attempt.
    """
    name, owners = manifest["metadata"]["name"], manifest["metadata"]["ownerReferences"]
    while not always(cluster, lambda: _make(cluster, manifest)):
        found = always(cluster, lambda: _find(cluster, name))
        if found is None:
            continue
        there = found["metadata"].get("ownerReferences", [])
        known = {owner["uid"] for owner in there}
        others = [owner for owner in owners if owner["uid"] not in known]
        if "deletionTimestamp" in found["metadata"] or (ended(found) and others):
            always(cluster, lambda: _remove(cluster, name))
            continue
        if others:
            own = partial(_patch, cluster, name, {"metadata": {"ownerReferences": [*there, *others]}})
            always(cluster, own)
        print(f"JobSet {name}: adopted", flush=True)
        return


def remove(cluster: Cluster, name: str, seconds: float = float("inf")) -> None:
    """Remove the JobSet and its pods, if it is there; give up after `seconds` of an API server away."""
    always(cluster, lambda: _remove(cluster, name), seconds)


def pods(cluster: Cluster, name: str) -> Sequence[Object]:
    """The pods of a JobSet."""
    selector = f"jobset.sigs.k8s.io/jobset-name={name}"
    listed = always(cluster, lambda: read(cluster.core.list_namespaced_pod, cluster.namespace, label_selector=selector))
    found: Sequence[Object] = listed["items"]
    return found


def always(cluster: Cluster, call: Callable[[], T], seconds: float = float("inf")) -> T:
    """What `call` returns, for `seconds` tried again while the API server, or a webhook behind it, is away."""

    def once() -> T:
        with talking(cluster):
            return call()

    return patiently(once, lambda: None, seconds)


def _make(cluster: Cluster, manifest: dict[str, Any]) -> bool:
    """False if one of this name is there."""
    try:
        cluster.custom.create_namespaced_custom_object(
            *_place(cluster), manifest, field_validation="Strict", _request_timeout=TIMEOUT
        )
    except ApiException as error:
        if error.status != 409:
            raise
        return False
    print(f"JobSet {manifest['metadata']['name']}: made", flush=True)
    return True


def _find(cluster: Cluster, name: str) -> Object | None:
    try:
        return read(cluster.custom.get_namespaced_custom_object, *_place(cluster), name)
    except ApiException as error:
        if error.status != 404:
            raise
        return None


def _patch(cluster: Cluster, name: str, body: dict[str, Any]) -> None:
    cluster.custom.patch_namespaced_custom_object(
        *_place(cluster), name, body, _content_type="application/merge-patch+json", _request_timeout=TIMEOUT
    )


def _remove(cluster: Cluster, name: str) -> None:
    """Returns when it is gone: raises `TryAgainError` while its pods still end."""
    try:
        cluster.custom.delete_namespaced_custom_object(
            *_place(cluster), name, propagation_policy="Foreground", _request_timeout=TIMEOUT
        )
    except ApiException as error:
        if error.status != 404:
            raise
        return
    raise TryAgainError(f"JobSet {name}: ending")


def _place(cluster: Cluster) -> tuple[str, str, str, str]:
    return JOBSETS.group, JOBSETS.version, cluster.namespace, JOBSETS.plural

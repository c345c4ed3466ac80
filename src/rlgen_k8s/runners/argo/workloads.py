"""Why a gang or a pod is not let in, as Kueue says."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rlgen_k8s.runners.argo.api import Cluster, Kind, read

WORKLOADS = Kind("kueue.x-k8s.io", "v1beta2", "workloads")
NEVER = ("> maximum capacity", "unavailable in ClusterQueue")
"""Kueue's words for what no job's end will change."""

Object = Mapping[str, Any]


def workloads(cluster: Cluster) -> Sequence[Object]:
    """What Kueue has in the namespace."""
    listed = read(
        cluster.custom.list_namespaced_custom_object,
        WORKLOADS.group,
        WORKLOADS.version,
        cluster.namespace,
        WORKLOADS.plural,
    )
    found: Sequence[Object] = listed["items"]
    return found


def reason(workloads: Sequence[Object], kind: Literal["JobSet", "Pod"], name: str) -> str:
    """Why the workload of an object has no quota, in a line; empty if it has, or if Kueue has not looked at it yet."""
    for workload in workloads:
        owners = workload["metadata"].get("ownerReferences", ())
        if any((owner["kind"], owner["name"]) == (kind, name) for owner in owners):
            for condition in workload.get("status", {}).get("conditions", ()):
                if condition["type"] == "QuotaReserved" and condition["status"] == "False":
                    return " ".join(f"for quota: {condition['message']}".split())
    return ""


def hopeless(reason: str) -> bool:
    """Whether waiting is of no use."""
    return any(words in reason for words in NEVER)

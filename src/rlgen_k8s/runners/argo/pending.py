"""Why a pod does not run yet, in a line: from the pod itself, else from what Kubernetes said about it last."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlgen_k8s.runners.argo.status import STARTING

NODE_ID = "workflows.argoproj.io/node-id"

Object = Mapping[str, Any]


def reason(pod: Object, warnings: Sequence[Object]) -> str:
    """Why `pod` is Pending; `warnings` are the events of that type about it, oldest first. Empty when it is only
    starting."""
    status = pod.get("status", {})
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    waiting = [container["state"]["waiting"] for container in containers if "waiting" in container.get("state", {})]
    for one in waiting:
        if one.get("reason") not in STARTING:
            return _line(one)
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _line(condition)
    return _line(warnings[-1]) if warnings else ""


def _line(said: Object) -> str:
    """`Reason: message`, on one line."""
    return " ".join(": ".join(filter(None, (said.get("reason"), said.get("message")))).split())


def by_pod(events: Sequence[Object]) -> dict[str, list[Object]]:
    """Events by the name of the pod they are about, oldest first."""
    found: dict[str, list[Object]] = {}
    for event in sorted(events, key=_time):
        found.setdefault(event["involvedObject"].get("name", ""), []).append(event)
    return found


def _time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")

"""Whether Kueue can ever admit the stages that run on several nodes."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes.client import ApiException

from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.runners.argo.api import read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.doctor.room import GIB, requests, shapes
from rlgen_k8s.runners.quantity import quantity

KUEUE = ("kueue.x-k8s.io", "v1beta2")


def gangs(situation: Situation) -> Check:
    """The namespace's queue lets every gang in, once it is empty."""
    asked = {stage: shape.nodes for stage, shape in shapes(situation.todo).items() if shape.nodes > 1}
    if not asked:
        return Check("gangs", True, "no stage runs on several nodes")
    if not situation.platform.queue:
        named = ", ".join(f"pods.{stage}.nodes={nodes}" for stage, nodes in asked.items())
        said = f"{named}, but the platform has no queue; install it with queues.enabled=true, or set nodes to 1"
        return Check("gangs", False, said)
    custom, namespace = situation.cluster.custom, situation.cluster.namespace
    try:
        local = read(custom.get_namespaced_custom_object, *KUEUE, namespace, "localqueues", situation.platform.queue)
        queue = read(custom.get_cluster_custom_object, *KUEUE, "clusterqueues", local["spec"]["clusterQueue"])
    except ApiException as error:
        if error.status not in (403, 404):
            raise
        if error.status == 403:
            return Check("gangs", None, "you may not look at Kueue's queues: cannot tell whether gangs are let in")
        return Check("gangs", False, f"queue {situation.platform.queue}: not there; run `make install` again")
    return gangs_verdict(queue, situation.todo)


def gangs_verdict(queue: Mapping[str, Any], todo: Iterable[Node]) -> Check:
    """What a ClusterQueue's quota is against what all pods of a gang ask for together."""
    has = _quota(queue)
    short = []
    for stage, shape in shapes(todo).items():
        if shape.nodes == 1:
            continue
        for name, of_one in requests(shape).items():
            if shape.nodes * of_one > has.get(name, 0.0):
                short.append(f"{stage}: {_shown(name, shape.nodes * of_one)}, of {_shown(name, has.get(name, 0.0))}")
    name = queue["metadata"]["name"]
    if short and queue["spec"].get("cohortName"):
        return Check("gangs", None, f"only with what ClusterQueue {name} can borrow: {'; '.join(short)}")
    if short:
        said = f"can never be let in by ClusterQueue {name}: {'; '.join(short)}; ask for more, or for less in pods"
        return Check("gangs", False, said)
    return Check("gangs", True, f"ClusterQueue {name} has room for each")


def _quota(queue: Mapping[str, Any]) -> dict[str, float]:
    """By resource, the most that one flavor has: a gang's pods get all of a resource from one."""
    most: dict[str, float] = {}
    for group in queue["spec"].get("resourceGroups", ()):
        for flavor in group["flavors"]:
            for resource in flavor["resources"]:
                amount = quantity(resource["nominalQuota"])
                most[resource["name"]] = max(amount, most.get(resource["name"], 0.0))
    return most


def _shown(name: str, amount: float) -> str:
    in_bytes = name in ("memory", "ephemeral-storage")
    return f"{amount / GIB:g} GiB of {name}" if in_bytes else f"{amount:g} {name}"

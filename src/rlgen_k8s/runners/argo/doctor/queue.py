"""Whether Kueue can ever let the stages in that ask for GPUs or run on several nodes."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes.client import ApiException

from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.runners.argo.api import read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.doctor.room import GIB, requests, shapes
from rlgen_k8s.runners.quantity import quantity
from rlgen_k8s.study.settings import PodShape

KUEUE = ("kueue.x-k8s.io", "v1beta2")
EXECUTOR = {"cpu": 0.01, "memory": 32 * 2.0**20}
"""What Argo's own container asks for beside the stage's, as the chart says; in the pods of a gang there is none."""


def queue(situation: Situation) -> Check:
    """The namespace's queue lets every stage in, once it is empty."""
    queued = {stage: shape for stage, shape in shapes(situation.todo).items() if shape.queued}
    if not queued:
        return Check("queue", True, "no stage asks for GPUs or runs on several nodes")
    if not situation.platform.queue:
        named = ", ".join(f"pods.{stage}.nodes={shape.nodes}" for stage, shape in queued.items() if shape.nodes > 1)
        if not named:
            return Check("queue", True, "none: pods start wherever a node has GPUs free")
        said = f"{named}, but the platform has no queue; install it with queues.enabled=true, or set nodes to 1"
        return Check("queue", False, said)
    custom, namespace = situation.cluster.custom, situation.cluster.namespace
    try:
        local = read(custom.get_namespaced_custom_object, *KUEUE, namespace, "localqueues", situation.platform.queue)
        found = read(custom.get_cluster_custom_object, *KUEUE, "clusterqueues", local["spec"]["clusterQueue"])
    except ApiException as error:
        if error.status not in (403, 404):
            raise
        if error.status == 403:
            return Check("queue", None, f"you may not look at Kueue's queues: cannot tell about {', '.join(queued)}")
        return Check("queue", False, f"queue {situation.platform.queue}: not there; run `make install` again")
    return queue_verdict(found, situation.todo)


def queue_verdict(queue: Mapping[str, Any], todo: Iterable[Node]) -> Check:
    """What a ClusterQueue's quota is against what a stage's pod, or all pods of a gang together, ask for."""
    has = _quota(queue)
    short = [
        f"{stage}: {_shown(name, amount)}, of {_shown(name, has.get(name, 0.0))}"
        for stage, shape in shapes(todo).items()
        if shape.queued
        for name, amount in _asked(shape).items()
        if amount > has.get(name, 0.0)
    ]
    name = queue["metadata"]["name"]
    if short and queue["spec"].get("cohortName"):
        return Check("queue", None, f"only with what ClusterQueue {name} can borrow: {'; '.join(short)}")
    if short:
        said = f"can never be let in by ClusterQueue {name}: {'; '.join(short)}; ask for more, or for less in pods"
        return Check("queue", False, said)
    return Check("queue", True, f"ClusterQueue {name} has room for each stage that waits in it")


def _asked(shape: PodShape) -> dict[str, float]:
    """What Kueue counts of a stage."""
    beside = EXECUTOR if shape.nodes == 1 else {}
    return {name: shape.nodes * amount + beside.get(name, 0.0) for name, amount in requests(shape).items()}


def _quota(queue: Mapping[str, Any]) -> dict[str, float]:
    """By resource, the most that one flavor has: a stage's pods get all of a resource from one."""
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

"""Whether the pods can ever run: nodes that are large enough, and the namespace's quota."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubernetes.client import ApiException

from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.runners.argo.api import read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.quantity import quantity
from rlgen_k8s.study.settings import PodShape

GPU = "nvidia.com/gpu"
DISK = "ephemeral-storage"
GIB = 2.0**30


def nodes(situation: Situation) -> Check:
    """Every pod fits on some node."""
    try:
        listed = read(situation.cluster.core.list_node)["items"]
    except ApiException as error:
        if error.status != 403:
            raise
        return Check("nodes", None, "you may not look at nodes: cannot tell whether the pods fit")
    return nodes_verdict(listed, situation.todo)


def nodes_verdict(listed: Sequence[Mapping[str, Any]], todo: Iterable[Node]) -> Check:
    """What the nodes have against what the tasks' pods ask for."""
    usable = [node for node in listed if _usable(node)]
    if not usable:
        return Check("nodes", False, f"none of {len(listed)} nodes is ready for pods; see `kubectl get nodes`")
    sizes = [_allocatable(node) for node in usable]
    largest = {name: max(size.get(name, 0.0) for size in sizes) for name in FIELDS.values()}
    has = (
        f"{largest['cpu']:g} cores, {largest['memory'] / GIB:.1f} GiB, {largest[GPU]:g} GPUs, "
        f"{largest[DISK] / GIB:.0f} GiB of disk"
    )
    problems = []
    for stage, shape in shapes(todo).items():
        wants = requests(shape)
        if any(all(size.get(name, 0.0) >= amount for name, amount in wants.items()) for size in sizes):
            continue
        short = [f"pods.{stage}.{field}" for field, name in FIELDS.items() if wants.get(name, 0) > largest[name]]
        blame = f" ({', '.join(short)})" if short else ""
        problems.append(
            f"{stage} asks for {shape.cpu:g} cores, {shape.memory:g} GiB, {shape.gpus} GPUs and "
            f"{shape.disk:g} GiB of disk at once{blame}"
        )
    if problems:
        return Check("nodes", False, f"{'; '.join(problems)}; no node has that, the most of each on one is {has}")
    return Check("nodes", True, f"{len(usable)} ready; the most of each on one: {has}")


FIELDS = {"cpu": "cpu", "memory": "memory", "gpus": GPU, "disk": DISK}
"""A shape's fields by Kubernetes' names."""


def requests(shape: PodShape) -> dict[str, float]:
    """What a pod of this shape asks for, in cores, bytes of memory and disk, and GPUs."""
    asked = {"cpu": shape.cpu, "memory": shape.memory * GIB, GPU: float(shape.gpus), DISK: shape.disk * GIB}
    return {name: amount for name, amount in asked.items() if amount}


def shapes(todo: Iterable[Node]) -> dict[str, PodShape]:
    """The shapes of the tasks' pods, by stage."""
    return {node.stage: node.shape for node in todo}


def _usable(node: Mapping[str, Any]) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
    taints = node["spec"].get("taints") or ()
    # A cluster with GPU nodes adds the toleration of their usual taint by itself.
    kept = [taint for taint in taints if taint["effect"] in ("NoSchedule", "NoExecute") and taint["key"] != GPU]
    return ready and not node["spec"].get("unschedulable") and not kept


def _allocatable(node: Mapping[str, Any]) -> dict[str, float]:
    return {name: quantity(amount) for name, amount in node["status"]["allocatable"].items()}


def quotas(situation: Situation) -> Check:
    """The namespace's quota lets the largest pod in."""
    try:
        call = situation.cluster.core.list_namespaced_resource_quota
        listed = read(call, situation.cluster.namespace)["items"]
    except ApiException as error:
        if error.status != 403:
            raise
        return Check("quota", None, "you may not look at quotas")
    return quotas_verdict(listed, situation.todo)


def quotas_verdict(listed: Sequence[Mapping[str, Any]], todo: Iterable[Node]) -> Check:
    """What the quotas leave against what the tasks' pods ask for."""
    never, later = [], []
    for quota in listed:
        hard, used = quota["status"].get("hard", {}), quota["status"].get("used", {})
        for stage, shape in shapes(todo).items():
            for name, of_one in quota_use(shape).items():
                if name not in hard:
                    continue
                amount = of_one * shape.nodes
                limit, taken = quantity(hard[name]), quantity(used.get(name, "0"))
                line = (
                    f"{stage}: {name} of {quota['metadata']['name']} is {hard[name]}, {used.get(name, '0')} of it used"
                )
                if amount > limit:
                    never.append(line)
                elif amount > limit - taken:
                    later.append(line)
    if never:
        return Check("quota", False, f"too small for {'; '.join(never)}; ask for more, or for less in pods.<stage>")
    if later:
        return Check("quota", True, f"pods will wait: {'; '.join(later)}")
    return Check("quota", True, f"{len(listed)} quotas leave room" if listed else "none set")


def quota_use(shape: PodShape) -> dict[str, float]:
    """What a pod of this shape takes of a quota, by the quota's names."""
    asked = requests(shape)
    return {
        "pods": 1.0,
        "count/pods": 1.0,
        **{f"requests.{name}": amount for name, amount in asked.items()},
        "cpu": asked["cpu"],
        "memory": asked["memory"],
        "limits.memory": asked["memory"],
    }

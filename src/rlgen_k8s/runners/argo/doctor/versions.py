"""Whether what is installed on the cluster has the versions that workflows and gangs are written for."""

import re
from collections.abc import Mapping
from typing import Any

from kubernetes.client import ApiException, ApisApi

from rlgen_k8s.runners.argo.api import TIMEOUT, Cluster, read
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.doctor.control import CONTROLLER
from rlgen_k8s.runners.argo.doctor.registry import split
from rlgen_k8s.runners.argo.doctor.room import shapes
from rlgen_k8s.runners.argo.workloads import WORKLOADS
from rlgen_k8s.runners.gang.jobsets import JOBSETS

ARGO_MAJOR = "4"
NAMED, STARTED = "workflow-controller", "Starting Workflow Controller"
"""In the name of the controller's image, and in a line at the beginning of its log."""
LOG_BYTES = 2**14
GANG_KINDS = {
    "JobSet": (JOBSETS.group, JOBSETS.version, {JOBSETS.plural}),
    "Kueue": (WORKLOADS.group, WORKLOADS.version, {WORKLOADS.plural, "localqueues", "clusterqueues"}),
}
"""Group, version and kinds that gangs are made of, by what brings them."""

Pod = Mapping[str, Any]
Served = Mapping[str, Mapping[str, set[str]]]
"""Kinds, by their plural, of each version of each group."""


def argo(situation: Situation) -> Check:
    """Argo's controller is of the major version that workflows are written for."""
    cluster = situation.cluster
    pods = read(cluster.core.list_namespaced_pod, cluster.namespace, label_selector=CONTROLLER)["items"]
    if not pods:
        try:
            pods = read(cluster.core.list_pod_for_all_namespaces, label_selector=CONTROLLER)["items"]
        except ApiException as error:
            if error.status != 403:
                raise
    found = {pod["metadata"]["name"]: version_of(pod) or _logged(cluster, pod) for pod in pods}
    return argo_verdict(found)


def argo_verdict(found: Mapping[str, str]) -> Check:
    """What the versions of the controllers' pods mean; "" is one that is not known."""
    known = {name: version for name, version in found.items() if version}
    if not known:
        where = f"neither the image's tag nor the log of {', '.join(found)} says it" if found else "no controller seen"
        return Check("version", None, f"cannot tell Argo's: {where}; workflows need {ARGO_MAJOR}.x")
    told = ", ".join(f"{name} is Argo {version}" for name, version in known.items())
    right = [version for version in known.values() if version.lstrip("v").partition(".")[0] == ARGO_MAJOR]
    if len(right) == len(known):
        return Check("version", True, told)
    if right:
        return Check("version", None, f"{told}: cannot tell which one sees to this namespace")
    advice = f"upgrade it, or install the platform with argo.enabled=true, which brings Argo {ARGO_MAJOR}"
    return Check("version", False, f"{told}, and workflows need {ARGO_MAJOR}.x; {advice}")


def version_of(pod: Pod) -> str:
    """The version that the tag of the controller's image is; "" where it is none, or the image goes by its digest."""
    images = [container["image"] for container in pod["spec"]["containers"]]
    tags = [split(image.partition("@")[0])[2] for image in images if NAMED in image]
    return next((tag for tag in tags if re.match(r"v?\d+\.\d+", tag)), "")


def logged_version(log: str) -> str:
    """The version that a controller says when it starts; "" where the line is not there."""
    line = next((line for line in log.splitlines() if STARTED in line), "")
    said = re.search(r'\bversion"?[=:]"?(v?\d+\.[\w.+-]+)', line)
    return said[1] if said else ""


def _logged(cluster: Cluster, pod: Pod) -> str:
    """`logged_version` of a pod whose log we may see and still has its beginning."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    containers = pod["spec"]["containers"]
    container = next((one["name"] for one in containers if NAMED in one["image"]), containers[0]["name"])
    try:
        said: Any = cluster.core.read_namespaced_pod_log(
            name,
            namespace,
            container=container,
            limit_bytes=LOG_BYTES,
            _preload_content=False,
            _request_timeout=TIMEOUT,
        )
    except ApiException as error:
        if error.status not in (400, 403, 404):  # not started, not ours to see, gone
            raise
        return ""
    return logged_version(said.data.decode(errors="replace"))


def gang_kinds(situation: Situation) -> Check:
    """JobSet and Kueue are there, in the versions of their API that gangs are written for."""
    if all(shape.nodes == 1 for shape in shapes(situation.todo).values()):
        return Check("gang kinds", True, "no stage runs on several nodes")
    cluster = situation.cluster
    groups = {
        group["name"]: [version["version"] for version in group["versions"]]
        for group in read(ApisApi(cluster.client).get_api_versions)["groups"]
    }
    served: dict[str, dict[str, set[str]]] = {}
    for group, wanted, _ in GANG_KINDS.values():
        served[group] = {version: set() for version in groups.get(group, ())}
        if wanted in served[group]:
            kinds = read(cluster.custom.get_api_resources, group, wanted)["resources"]
            served[group][wanted] = {kind["name"] for kind in kinds}
    return gang_kinds_verdict(served)


def gang_kinds_verdict(served: Served) -> Check:
    """What the API server serves against what gangs are made of."""
    problems = []
    for project, (group, wanted, kinds) in GANG_KINDS.items():
        versions = served.get(group, {})
        if not versions:
            problems.append(
                f"this cluster has no {project} ({group}/{wanted}): install it (platform/gangs.md), or set nodes to 1"
            )
        elif wanted not in versions:
            has = ", ".join(versions)
            problems.append(f"{project} here serves {group}/{has}, and gangs need {wanted}: install one that serves it")
        elif missing := sorted(kinds - versions[wanted]):
            problems.append(f"{group}/{wanted} has no {', '.join(missing)}: install all CRDs of {project}")
    if problems:
        return Check("gang kinds", False, "; ".join(problems))
    return Check("gang kinds", True, ", ".join(f"{group}/{version}" for group, version, _ in GANG_KINDS.values()))

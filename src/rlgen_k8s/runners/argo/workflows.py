"""Workflow objects: find, create, stop."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kubernetes.client import ApiException

from rlgen_k8s.dag.names import JOBSET, SETTINGS, STUDY, gang_name
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.api import TIMEOUT, Cluster, Kind, read, talking
from rlgen_k8s.store.keys import address_of

GROUP, VERSION, PLURAL = "argoproj.io", "v1alpha1", "workflows"
WORKFLOWS = Kind(GROUP, VERSION, PLURAL)
UNTIL_ANNOTATION = "rlgen-k8s/until"
"""Where the run was to stop, as JSON: what `rlgen resubmit` needs beside the settings."""
ENDED = ("Succeeded", "Failed", "Error")

Workflow = Mapping[str, Any]


def name_of(workflow: Workflow) -> str:
    """A workflow's name."""
    return str(workflow["metadata"]["name"])


def phase_of(workflow: Workflow) -> str:
    """A workflow's phase; Pending before the controller has seen it."""
    return str(workflow.get("status", {}).get("phase") or "Pending")


def ended(workflow: Workflow) -> bool:
    """Whether nothing more will happen to a workflow."""
    return phase_of(workflow) in ENDED


def find(cluster: Cluster, name: str | None) -> Workflow:
    """The workflow `name`, or the newest of any study. Raises `UserError` when there is none."""
    if name is None:
        if not (known := of_study(cluster)):
            raise UserError(f"namespace {cluster.namespace}: no workflow of a study; submit one with `rlgen submit`")
        return known[0]
    with talking(cluster):
        try:
            found = read(cluster.custom.get_namespaced_custom_object, GROUP, VERSION, cluster.namespace, PLURAL, name)
        except ApiException as error:
            if error.status != 404:
                raise
            names = [name_of(workflow) for workflow in of_study(cluster)[:5]]
            there = f"the newest are {', '.join(names)}" if names else "there is none"
            raise UserError(f"workflow {name}: not in namespace {cluster.namespace}; {there}") from None
    if SETTINGS not in found["metadata"].get("annotations", {}):
        raise UserError(f"workflow {name}: not made by `rlgen submit`; look at it with `argo get {name}`")
    return found


def of_study(cluster: Cluster, study: str | None = None) -> list[Workflow]:
    """The workflows of a study, or of all, newest first."""
    selector = STUDY if study is None else f"{STUDY}={study}"
    with talking(cluster):
        call = cluster.custom.list_namespaced_custom_object
        listed = read(call, GROUP, VERSION, cluster.namespace, PLURAL, label_selector=selector)
    return sorted(listed["items"], key=lambda one: str(one["metadata"]["creationTimestamp"]), reverse=True)


def free_name(base: str, taken: Iterable[str]) -> str:
    """`base`, or the first of `base-2`, `base-3`… that no workflow has."""
    names = set(taken)
    number, name = 1, base
    while name in names:
        number += 1
        name = f"{base}-{number}"
    return name


def addresses(workflow: Workflow) -> set[str]:
    """The addresses of the results that a workflow makes."""
    return set(_addresses(workflow).values())


def _addresses(workflow: Workflow) -> dict[str, str]:
    """The same by task."""
    tasks = [task for template in workflow["spec"]["templates"] for task in template.get("dag", {}).get("tasks", ())]
    keys = {
        task["name"]: parameter["value"]
        for task in tasks
        for parameter in task["arguments"]["parameters"]
        if parameter["name"] == "key"
    }
    return {task["name"]: address_of(task["template"], keys[task["name"]]) for task in tasks}


def gangs(workflow: Workflow) -> dict[str, str]:
    """The tasks that several pods run, by the names of their JobSets."""
    templates = {
        template["name"]
        for template in workflow["spec"]["templates"]
        if any(variable["name"] == JOBSET for variable in template.get("container", {}).get("env", ()))
    }
    parts = {task: address.split("/") for task, address in _addresses(workflow).items()}
    return {gang_name(stage, key): task for task, (stage, key) in parts.items() if stage in templates}


def already_running(wanted: Collection[str], workflows: Iterable[Workflow]) -> str | None:
    """The name of a workflow that is at work on all the `wanted` addresses, if there is one."""
    for one in workflows:
        if not ended(one) and not one["spec"].get("shutdown") and addresses(one) >= set(wanted):
            return name_of(one)
    return None


def create(cluster: Cluster, manifest: dict[str, Any]) -> bool:
    """Create a workflow, every field of which the API server must know. False when one of this name is there."""
    with talking(cluster):
        try:
            cluster.custom.create_namespaced_custom_object(
                GROUP, VERSION, cluster.namespace, PLURAL, manifest, field_validation="Strict", _request_timeout=TIMEOUT
            )
        except ApiException as error:
            if error.status != 409:
                raise
            return False
    return True


def stop(cluster: Cluster, name: str) -> None:
    """Stop a workflow: its pods end, its exit handler still runs."""
    with talking(cluster):
        cluster.custom.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            cluster.namespace,
            PLURAL,
            name,
            {"spec": {"shutdown": "Stop"}},
            _content_type="application/merge-patch+json",
            _request_timeout=TIMEOUT,
        )

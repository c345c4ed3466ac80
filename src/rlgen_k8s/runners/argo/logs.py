"""`rlgen logs`: what a task's newest attempt wrote, from its pod or, once that is gone, from where Argo archived it."""

import sys
import threading
from collections.abc import Iterable
from typing import Any

from kubernetes.client import ApiException

from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo import status
from rlgen_k8s.runners.argo.api import Cluster, connect, read, talking
from rlgen_k8s.runners.argo.pending import NODE_ID
from rlgen_k8s.runners.argo.platform import read_platform, shared_store
from rlgen_k8s.runners.argo.workflows import Workflow, ended, find, name_of
from rlgen_k8s.runners.states import TaskState
from rlgen_k8s.store.s3 import S3Blobs

ARCHIVED = "main-logs"
POLL_SECONDS = 1.0
CHUNK = 2**16
CONNECT_SECONDS, SILENCE_SECONDS = 3, 24 * 3600


def show_logs(task: str, name: str | None, follow: bool, namespace: str | None) -> None:
    """Print the log of a task of a workflow (None: the newest); with `follow`, until the task's end."""
    cluster = connect(namespace)
    workflow = find(cluster, name)
    if task not in (tasks := [state.name for state in status.states(workflow)]):
        raise UserError(f"task {task}: not in workflow {name_of(workflow)}; its tasks are {', '.join(tasks)}")
    shown: set[str] = set()
    pause = threading.Event()
    while True:
        tries = status.attempts(workflow, task)
        if tries and tries[-1]["id"] not in shown and _print(cluster, workflow, tries[-1], follow):
            shown.add(tries[-1]["id"])
        over = ended(workflow) or _state(workflow, task).phase.done
        if over or not follow:
            break
        pause.wait(POLL_SECONDS)
        workflow = find(cluster, name_of(workflow))
    if not shown:
        state = _state(workflow, task)
        raise UserError(f"task {task} of {name_of(workflow)}: no log, it is {state.phase.lower()}; {state.message}")


def _state(workflow: Workflow, task: str) -> TaskState:
    return next(state for state in status.states(workflow) if state.name == task)


def _print(cluster: Cluster, workflow: Workflow, attempt: status.Node, follow: bool) -> bool:
    """Print the log of an attempt; False when there is none (yet)."""
    with talking(cluster):
        selector = f"workflows.argoproj.io/workflow={name_of(workflow)}"
        pods = read(cluster.core.list_namespaced_pod, cluster.namespace, label_selector=selector)["items"]
        for pod in pods:
            if pod["metadata"].get("annotations", {}).get(NODE_ID) == attempt["id"]:
                return _print_pod(cluster, pod["metadata"]["name"], follow)
    return _print_archived(cluster, workflow, attempt)


def _print_pod(cluster: Cluster, pod: str, follow: bool) -> bool:
    try:
        response: Any = cluster.core.read_namespaced_pod_log(
            pod,
            cluster.namespace,
            container="main",
            follow=follow,
            _preload_content=False,
            _request_timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
        )
    except ApiException as error:
        if error.status != 400:  # the container waits to be started
            raise
        return False
    _copy(response.stream(CHUNK))
    return True


def _print_archived(cluster: Cluster, workflow: Workflow, attempt: status.Node) -> bool:
    artifacts = (attempt.get("outputs") or {}).get("artifacts") or ()
    places = [artifact["s3"] for artifact in artifacts if artifact["name"] == ARCHIVED and "s3" in artifact]
    if not places:
        return False
    repository = workflow["status"].get("artifactRepositoryRef", {}).get("artifactRepository", {}).get("s3", {})
    with shared_store(cluster, read_platform(cluster)) as store:
        if not isinstance(store.blobs, S3Blobs):
            raise UserError(f"store {store.uri}: not on S3, so it has no archived log")
        bucket = places[0].get("bucket") or repository.get("bucket") or store.blobs.bucket
        response = store.blobs.client.get_object(bucket, places[0]["key"])
        try:
            _copy(response.stream(CHUNK))
        finally:
            response.close()
            response.release_conn()
    return True


def _copy(chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

"""Why tasks wait: looked up now and then, while any does."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from rlgen_k8s.dag.names import TASK
from rlgen_k8s.runners.argo import pending
from rlgen_k8s.runners.argo.api import Cluster, read
from rlgen_k8s.runners.argo.workloads import Object, reason, workloads
from rlgen_k8s.runners.states import Phase, TaskState

LOOK_SECONDS = 3.0


@dataclass
class Waiting:
    """Remembers the answers between two looks."""

    cluster: Cluster
    workflow: str
    _looked: float = field(default=float("-inf"), init=False)
    _known: dict[str, str] = field(default_factory=dict, init=False)

    def reasons(self, tasks: Sequence[TaskState], gangs: Mapping[str, str]) -> dict[str, str]:
        """A line for each waiting task of which Kubernetes says more than Argo does.

        `gangs` are the tasks that several pods run, by JobSet: those wait while Argo sees their launcher run.
        """
        waiting = {task.name for task in tasks if task.phase is Phase.PENDING}
        launched = {task.name for task in tasks if task.phase is Phase.RUNNING}
        queued = {jobset: task for jobset, task in gangs.items() if task in launched}
        if not waiting and not queued:
            return {}
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            try:
                self._known = self._look(queued)
            except (ApiException, HTTPError):
                self._known = {}  # no right to list, or no API server: the watch tells the latter
        waiting.update(queued.values())
        return {task: said for task, said in self._known.items() if task in waiting and said}

    def _look(self, gangs: Mapping[str, str]) -> dict[str, str]:
        """What Kueue says of these gangs and of the pods that it holds back, and Kubernetes of the other pods."""
        pods = self._pending()
        held = {task: pod["metadata"]["name"] for task, pod in pods.items() if pod["spec"].get("schedulingGates")}
        known = workloads(self.cluster) if gangs or held else ()
        queued = {task: reason(known, "JobSet", jobset) for jobset, task in gangs.items()}
        queued |= {task: reason(known, "Pod", pod) for task, pod in held.items()}
        return self._told(pods) | {task: words for task, words in queued.items() if words}

    def _pending(self) -> dict[str, Object]:
        """The pods that do not run yet, by task."""
        selector = f"workflows.argoproj.io/workflow={self.workflow}"
        pods = read(self.cluster.core.list_namespaced_pod, self.cluster.namespace, label_selector=selector)["items"]
        pods = [pod for pod in pods if pod["status"].get("phase") == "Pending" and TASK in pod["metadata"]["labels"]]
        return {pod["metadata"]["labels"][TASK]: pod for pod in pods}

    def _told(self, pods: Mapping[str, Object]) -> dict[str, str]:
        """What Kubernetes says of pods, by task."""
        if not pods:
            return {}
        about = "involvedObject.kind=Pod,type=Warning"
        call = self.cluster.core.list_namespaced_event
        warnings = pending.by_pod(read(call, self.cluster.namespace, field_selector=about)["items"])
        return {task: pending.reason(pod, warnings.get(pod["metadata"]["name"], ())) for task, pod in pods.items()}

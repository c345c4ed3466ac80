"""The log of a gang's first pod, copied as it is written: through outages, and from a pod to its successor."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from rlgen_k8s.runners.argo.api import Cluster, read
from rlgen_k8s.runners.gang.ending import RANK

PAUSE_SECONDS = 1.0
SILENCE_SECONDS = 60
"""A connection that says nothing for so long is made anew."""
LAST_SECONDS = 15.0


@dataclass
class LogCopy:
    """Tells each line once."""

    cluster: Cluster
    jobset: str
    tell: Callable[[str], None]
    _over: threading.Event = field(default_factory=threading.Event, init=False)
    _last: dict[str, tuple[str, float]] = field(default_factory=dict, init=False)
    """By pod, the last line's time as the node has it, and when it came here."""
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Copy what is left, once the pod has ended."""
        self._over.set()
        self._thread.join(LAST_SECONDS)

    def _follow(self) -> None:
        over = False
        while not over:
            over = self._over.wait(PAUSE_SECONDS)
            try:
                self._copy()
            except (ApiException, HTTPError, OSError):
                continue  # the launcher tells of an API server that is away, and of a pod that does not start

    def _copy(self) -> None:
        core, namespace = self.cluster.core, self.cluster.namespace
        selector = f"jobset.sigs.k8s.io/jobset-name={self.jobset},{RANK}=0"
        for pod in read(core.list_namespaced_pod, namespace, label_selector=selector)["items"]:
            if pod["status"].get("phase") != "Pending":
                self._copy_of(pod["metadata"]["name"])

    def _copy_of(self, pod: str) -> None:
        last, came = self._last.get(pod, ("", 0.0))
        response: Any = self.cluster.core.read_namespaced_pod_log(
            pod,
            self.cluster.namespace,
            follow=True,
            timestamps=True,
            _preload_content=False,
            since_seconds=int(time.monotonic() - came) + 60 if last else None,
            _request_timeout=(3, SILENCE_SECONDS),
        )
        for line in response:
            at, _, text = line.decode(errors="replace").rstrip("\n").partition(" ")
            if at > last:
                last = at
                self._last[pod] = at, time.monotonic()
                self.tell(text)

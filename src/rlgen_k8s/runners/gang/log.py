"""The log of a gang's first pod, copied as it is written: through outages, and from a pod to its successor."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def copied_log(cluster: Cluster, jobset: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell each line of it once, while the block runs; what is left is told at the block's good end."""
    copy, over = _LogCopy(cluster, jobset, tell), threading.Event()
    thread = threading.Thread(target=copy.follow, args=(over,), daemon=True)
    thread.start()
    try:
        yield
        over.set()
        thread.join(LAST_SECONDS)
    finally:
        over.set()


@dataclass
class _LogCopy:
    cluster: Cluster
    jobset: str
    tell: Callable[[str], None]
    _last: dict[str, tuple[str, float]] = field(default_factory=dict, init=False)
    """By pod, the last line's time as the node has it, and when it came here."""

    def follow(self, over: threading.Event) -> None:
        """Copy, and once more when it is over."""
        last = False
        while not last:
            last = over.wait(PAUSE_SECONDS)
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

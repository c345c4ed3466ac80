"""A workflow and its pods as they change: a thread that watches the API server, and comes back when it was away."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from rlgen_k8s.runners.argo.api import Cluster, brief, explain
from rlgen_k8s.runners.argo.workflows import GROUP, PLURAL, VERSION

ONE_WATCH_SECONDS = 30
"""A watch is renewed so often; a connection that died in silence is noticed after this time."""
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Seen:
    """The workflow now, or why nothing can be said: `gone` for good, or `away` for the moment."""

    workflow: dict[str, Any] | None = None
    gone: bool = False
    away: str = ""


def observe(cluster: Cluster, name: str, interval: float) -> Iterator[Seen | None]:
    """What is seen of the workflow `name`, for ever; None after each `interval` seconds without news."""
    news: queue.Queue[Seen | Exception] = queue.Queue()
    threading.Thread(target=_follow, args=(cluster, name, news), daemon=True).start()
    while True:
        try:
            seen = news.get(timeout=interval)
        except queue.Empty:
            yield None
            continue
        if isinstance(seen, Exception):
            raise seen
        yield seen


def _follow(cluster: Cluster, name: str, news: "queue.Queue[Seen | Exception]") -> None:
    pause = threading.Event()
    while True:
        try:
            for event in _events(cluster, name):
                gone = event["type"] == "DELETED"
                news.put(Seen(event["object"], gone=gone))
        except (ApiException, HTTPError, OSError) as error:
            said = explain(error) if isinstance(error, ApiException) else brief(error)
            news.put(Seen(away=said))
            pause.wait(PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 (raised again where somebody waits for news)
            news.put(error)
            return


def _events(cluster: Cluster, name: str) -> Iterator[dict[str, Any]]:
    """The workflow as it is, then every change of it, for a while. A workflow that is not there is told as deleted."""
    events = Watch().stream(
        cluster.custom.list_namespaced_custom_object,
        GROUP,
        VERSION,
        cluster.namespace,
        PLURAL,
        field_selector=f"metadata.name={name}",
        timeout_seconds=ONE_WATCH_SECONDS,
        _request_timeout=(3, ONE_WATCH_SECONDS + 5),
    )
    seen = False
    for event in events:
        seen = True
        yield event
    if not seen:
        yield {"type": "DELETED", "object": None}

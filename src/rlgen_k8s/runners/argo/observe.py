"""An object as it changes: a thread that watches the API server, and comes back when it was away."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from rlgen_k8s.runners.argo.api import Cluster, Kind, brief, explain

ONE_WATCH_SECONDS = 30
"""A watch is renewed so often; a connection that died in silence is noticed after this time."""
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Seen:
    """The object now, or why nothing can be said: `gone` for good, or `away` for the moment."""

    found: dict[str, Any] | None = None
    gone: bool = False
    away: str = ""


def observe(cluster: Cluster, kind: Kind, name: str, interval: float) -> Iterator[Seen | None]:
    """What is seen of the object `name`, until nobody asks; None after each `interval` seconds without news."""
    news: queue.Queue[Seen | Exception] = queue.Queue()
    over = threading.Event()
    threading.Thread(target=_follow, args=(cluster, kind, name, news, over), daemon=True).start()
    try:
        while True:
            try:
                seen = news.get(timeout=interval)
            except queue.Empty:
                yield None
                continue
            if isinstance(seen, Exception):
                raise seen
            yield seen
    finally:
        over.set()


def _follow(
    cluster: Cluster, kind: Kind, name: str, news: "queue.Queue[Seen | Exception]", over: threading.Event
) -> None:
    while not over.is_set():
        try:
            for event in _events(cluster, kind, name):
                gone = event["type"] == "DELETED"
                news.put(Seen(event["object"], gone=gone))
        except (ApiException, HTTPError, OSError) as error:
            said = explain(error) if isinstance(error, ApiException) else brief(error)
            news.put(Seen(away=said))
            over.wait(PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 (raised again where somebody waits for news)
            news.put(error)
            return


def _events(cluster: Cluster, kind: Kind, name: str) -> Iterator[dict[str, Any]]:
    """The object as it is, then every change of it, for a while. One that is not there is told as deleted."""
    events = Watch().stream(
        cluster.custom.list_namespaced_custom_object,
        kind.group,
        kind.version,
        cluster.namespace,
        kind.plural,
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

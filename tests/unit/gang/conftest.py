"""An API server with one JobSet, its pods and its workload, to which what is scripted happens while it is watched."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes.client import ApiClient, Configuration

from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store

ADDRESS = "sft/" + "0" * 32
NAME = ADDRESS.replace("/", "-")
Json = dict[str, Any]


def owner(uid: str) -> Json:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": f"tiny-{uid}", "uid": uid}


def jobset(uid: str = "ours") -> Json:
    """As a launcher makes it, as far as the launcher looks at it."""
    return {"metadata": {"name": NAME, "ownerReferences": [owner(uid)]}, "spec": {"suspend": True}}


def pod(rank: int, code: int, *, after: int = 10, said: str = "", **more: Any) -> Json:
    """A pod that ended so many seconds past noon, an hour after its start."""
    end = {
        "exitCode": code,
        "message": said,
        "startedAt": f"2026-01-31T11:00:{after:02d}Z",
        "finishedAt": f"2026-01-31T12:00:{after:02d}Z",
        **more,
    }
    return {
        "metadata": {
            "name": f"{NAME}-node-0-{rank}",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(rank)},
        },
        "spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]},
        "status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"state": {"terminated": end}}]},
    }


def workload(message: str) -> Json:
    """One of the JobSet's that waits for quota."""
    owners = [{"kind": "JobSet", "name": NAME}]
    waits = {"type": "QuotaReserved", "status": "False", "message": message}
    return {"metadata": {"ownerReferences": owners}, "status": {"conditions": [waits]}}


class Api:
    """What is on the server. `script` is what happens next, a step whenever somebody watches."""

    def __init__(self) -> None:
        self.jobset: Json | None = None
        self.pods: list[Json] = []
        self.workloads: list[Json] = []
        self.log = ""
        self.script: list[Callable[[], None]] = []
        self.refusals: dict[str, list[int]] = {"POST": [], "WATCH": []}
        self.looked = threading.Semaphore(0)
        self.made: list[Json] = []
        self.removed = 0

    def admit(self) -> None:
        """As Kueue does."""
        assert self.jobset is not None
        self.jobset["spec"]["suspend"] = False
        self.workloads = []

    def end(self, how: str, *pods: Json) -> None:
        """The JobSet ends with these pods left."""
        assert self.jobset is not None
        self.pods = list(pods)
        self.jobset["status"] = {"terminalState": how, "conditions": [{"type": how, "message": "jobset ended"}]}

    def wait_for_a_look(self) -> None:
        """Nothing happens until somebody has asked why the gang waits."""
        assert self.looked.acquire(timeout=30)

    def vanish(self) -> None:
        """Somebody deletes the JobSet."""
        self.jobset = None

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Status and object."""
        if path.endswith("/pods"):
            return 200, {"items": self.pods}
        if path.endswith("/workloads"):
            self.looked.release()
            return 200, {"items": self.workloads}
        if method == "POST":
            if self.jobset is not None:
                return 409, {"message": "already exists"}
            self.jobset = body
            self.made.append(json.loads(json.dumps(body)))
            return 201, body
        if self.jobset is None:
            return 404, {"message": "not found"}
        if method == "DELETE":
            self.removed += 1
            self.jobset = None
        if method == "PATCH":
            self.jobset["metadata"] |= body["metadata"]
        return 200, self.jobset or {}

    def events(self) -> Iterator[Json]:
        """The JobSet as it is, and as the next step of the script leaves it."""
        before = json.loads(json.dumps(self.jobset))
        if before is not None:
            yield {"type": "ADDED", "object": before}
        if self.script:
            self.script.pop(0)()
            if self.jobset is not None:
                yield {"type": "MODIFIED", "object": self.jobset}
            elif before is not None:
                yield {"type": "DELETED", "object": before}


def handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            watches = "watch" in parse_qs(parts.query)
            refusals = api.refusals.get("WATCH" if watches else self.command)
            if refusals:
                self.reply(refusals.pop(0), [b'{"message": "failed calling webhook"}'])
            elif watches:
                self.reply(200, (json.dumps(event).encode() + b"\n" for event in api.events()))
            elif parts.path.endswith("/log"):
                self.reply(200, [api.log.encode()])
            else:
                status, answer = api.answer(self.command, parts.path, body)
                self.reply(status, [json.dumps(answer).encode()])

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def reply(self, status: int, parts: Iterable[bytes]) -> None:
            """Each part as soon as it is there, as an API server's watch does."""
            self.send_response(status)
            for name, value in (("Transfer-Encoding", "chunked"), ("Connection", "close")):
                self.send_header(name, value)
            self.end_headers()
            for part in filter(None, parts):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def cluster(api: Api) -> Iterator[Cluster]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(api))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    settings = Configuration(host=f"http://127.0.0.1:{server.server_port}")
    settings.retries = False
    yield Cluster(ApiClient(settings), "test", "rlgen")
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(tmp_path) -> Store:
    return open_store(str(tmp_path / "store"))

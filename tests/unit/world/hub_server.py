"""The part of the hub's HTTP interface that a download uses, over a folder: `<kind>s/<org>/<name>/<file>`."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import unquote

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Knows of each repository `main`, `refs/convert/parquet` and COMMIT, and notes what it sent of each file."""

    root: ClassVar[Path]
    gated: ClassVar[set[str]]
    sent: ClassVar[Counter[str]]
    """Bytes by `<org>/<name>/<file>`."""
    left: ClassVar[int | None]
    """Bytes of files until it breaks off, be it in the middle of one; None: all."""
    after: ClassVar[Literal["refuses", "hangs", "goes on"]]
    """What it does then: refuse whatever comes, keep the connection and say nothing, or as before."""
    silent: ClassVar[threading.Event]
    """Set when it hangs."""
    xet: ClassVar[bool]
    """Whether its files are where Xet keeps them, in a place that does not have them."""

    def do_GET(self) -> None:
        kind, repository, action, revision, file = _parts(self.path.partition("?")[0])
        folder = self.root / kind / repository
        if self.left == 0 and self.after == "refuses":
            self._error(403, "")
        elif repository in self.gated:
            self._error(403, "GatedRepo")
        elif not kind or not folder.is_dir():
            self._error(404, "RepoNotFound")
        elif revision not in ("main", "refs/convert/parquet", COMMIT):
            self._error(404, "RevisionNotFound")
        elif action == "xet-read-token":
            self._send(b"")
        elif action == "revision":
            self._send(json.dumps({"id": repository, "sha": COMMIT, "siblings": []}).encode())
        elif action == "tree":
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            entries = [
                {
                    "type": "file",
                    "path": path.relative_to(folder).as_posix(),
                    "size": path.stat().st_size,
                    "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
                }
                for path in files
            ]
            self._send(json.dumps(entries).encode())
        else:
            self._send_file(f"{repository}/{file}", (folder / file).read_bytes())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send_file(self, name: str, body: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self._head(body, start)
        if self.command == "HEAD":
            return
        part = body[start : None if self.left is None else start + self.left]
        self.wfile.write(part)
        Hub.sent[name] += len(part)
        if self.left is not None:
            Hub.left = self.left - len(part)
        if start + len(part) == len(body):
            return
        if self.after == "goes on":
            Hub.left = None
        while self.after == "hangs":
            self.silent.set()
            time.sleep(0.01)
        self.close_connection = True

    def _send(self, body: bytes) -> None:
        self._head(body)
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, body: bytes, start: int = 0) -> None:
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        if self.xet:
            here = f"http://{self.headers['Host']}"
            self.send_header("X-Xet-Hash", "0" * 64)
            self.send_header("Link", f'<{here}/api/models/made/up/xet-read-token/{COMMIT}>; rel="xet-auth"')
            self.send_header("X-Xet-Cas-Url", f"{here}/cas")
            self.send_header("X-Xet-Access-Token", "any")
            self.send_header("X-Xet-Token-Expiration", str(2**40))
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


def _parts(path: str) -> tuple[str, str, str, str, str]:
    """Kind, repository, what is asked of it, revision, file."""
    words = [unquote(word) for word in path.strip("/").split("/")]  # a revision may have slashes of its own
    if words[0] == "api" and len(words) < 6:  # asks about the hub itself
        return "", "", "", "", ""
    if words[0] == "api":
        kind, organisation, name, action, revision = words[1:6]
        return kind, f"{organisation}/{name}", action, revision, ""
    kind = words.pop(0) if words[0] == "datasets" else "models"
    return kind, f"{words[0]}/{words[1]}", words[2], words[3], "/".join(words[4:])


@contextmanager
def serve(root: Path) -> Iterator[str]:
    """The address of a hub of the folder `root`, which sends all that it is asked for."""
    Hub.root, Hub.gated, Hub.sent, Hub.left, Hub.after = root, set(), Counter(), None, "refuses"
    Hub.silent, Hub.xet = threading.Event(), False
    service = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{service.server_port}"
    Hub.after = "refuses"
    service.shutdown()
    service.server_close()
    thread.join()


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `endpoint` the hub of this process, which read `HF_ENDPOINT` long ago."""
    import huggingface_hub.constants as constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)

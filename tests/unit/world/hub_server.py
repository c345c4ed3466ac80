"""The part of the hub's HTTP interface that a download uses, over a folder: `<kind>s/<org>/<name>/<file>`."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Knows of each repository `main`, `refs/convert/parquet` and COMMIT, and notes which files were asked for."""

    root: ClassVar[Path]
    gated: ClassVar[set[str]]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        kind, repository, action, revision, file = _parts(self.path.partition("?")[0])
        folder = self.root / kind / repository
        if repository in self.gated:
            self._error(403, "GatedRepo")
        elif not kind or not folder.is_dir():
            self._error(404, "RepoNotFound")
        elif revision not in ("main", "refs/convert/parquet", COMMIT):
            self._error(404, "RevisionNotFound")
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
            self.asked.append(f"{repository}/{file}")
            self._send((folder / file).read_bytes())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

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


def serve(root: Path) -> ThreadingHTTPServer:
    """A hub of the folder `root` on a free port."""
    Hub.root, Hub.gated, Hub.asked = root, set(), []
    return ThreadingHTTPServer(("127.0.0.1", 0), Hub)

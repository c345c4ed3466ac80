"""Both kinds of store. S3 is a MinIO server built from its Go module where there is Go, else moto's server."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from minio import Minio

from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store

BUILD = Path(__file__).parents[3] / "platform" / "cluster" / "build"
BUCKET = "results"
ACCESS, SECRET = "rlgen-test", "rlgen-test-secret"
# Single-threaded, so that a conditional put is atomic in moto too.
MOTO = (
    "import sys; from werkzeug.serving import run_simple; from moto.server import DomainDispatcherApplication as App, "
    "create_backend_app; run_simple('127.0.0.1', int(sys.argv[1]), App(create_backend_app), threaded=False)"
)


@dataclass(frozen=True)
class S3Server:
    name: str
    endpoint: str

    @property
    def client(self) -> Minio:
        return Minio(self.endpoint, ACCESS, SECRET, secure=False, region="us-east-1")

    def uri(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}?endpoint=http://{self.endpoint}&region=us-east-1"


@dataclass(frozen=True)
class Place:
    """A fresh store, and the way behind its back."""

    uri: str
    environ: dict[str, str]
    overwrite: Callable[[str, bytes | None], None]
    """Put other bytes under a name, or remove what is there (None)."""
    files: Callable[[str], list[str]]
    """Names of all files or objects below a prefix, relative to it."""

    def open(self) -> Store:
        return open_store(self.uri, self.environ)


def minio_binary() -> Path | None:
    """The cluster's MinIO, built once a machine (about four minutes of CPU); None without Go or without its modules."""
    done = subprocess.run([BUILD, "minio"], capture_output=True, text=True)
    if done.returncode:
        print(f"MinIO could not be built, so moto stands in for it: {done.stderr}", file=sys.stderr)
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rlgen-k8s" / "bin" / "current" / "minio"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if binary := minio_binary():
        name, command = "MinIO", [binary, "server", folder / "data", "--address", f"127.0.0.1:{port}", "--quiet"]
    else:
        name, command = "moto", [sys.executable, "-c", MOTO, str(port)]
    environ = os.environ | {"MINIO_ROOT_USER": ACCESS, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        server = S3Server(name, f"127.0.0.1:{port}")
        until = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "the S3 server did not start within a minute"
            time.sleep(0.1)
        server.client.make_bucket(BUCKET)
        print(f"S3 server: {name}")
        yield server
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    """Whether it is up and ready: MinIO listens before it is (moto knows no such path, and answers 404)."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/minio/health/cluster", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        root = tmp_path / "store"
        return Place(
            str(root),
            {},
            lambda name, data: overwrite_file(root / name, data),
            lambda below: files(root / below),
        )
    server: S3Server = request.getfixturevalue("s3_server")
    prefix = uuid4().hex
    return Place(
        server.uri(prefix),
        {"MINIO_ACCESS_KEY": ACCESS, "MINIO_SECRET_KEY": SECRET},
        lambda name, data: overwrite_object(server.client, f"{prefix}/{name}", data),
        lambda below: objects(server.client, f"{prefix}/{below}/"),
    )


def files(folder: Path) -> list[str]:
    """Without the empty lock files: a process killed while it makes one leaves it."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def objects(client: Minio, prefix: str) -> list[str]:
    return [str(entry.object_name)[len(prefix) :] for entry in client.list_objects(BUCKET, prefix, recursive=True)]


def overwrite_file(path: Path, data: bytes | None) -> None:
    path.unlink()
    if data is not None:
        path.write_bytes(data)


def overwrite_object(client: Minio, name: str, data: bytes | None) -> None:
    if data is None:
        client.remove_object(BUCKET, name)
    else:
        client.put_object(BUCKET, name, io.BytesIO(data), len(data))

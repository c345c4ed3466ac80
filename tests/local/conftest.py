"""An MLflow server that comes and goes."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rlgen_k8s.tracking.server import free_port


@dataclass
class Server:
    """`make mlflow` on a port and database of its own, started and killed at will."""

    home: Path
    port: int = field(default_factory=lambda: free_port(None))
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        code = f"import os, sys; from rlgen_k8s.tracking.server import serve; sys.exit(serve({self.port}, os.environ))"
        environ = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        self.process = subprocess.Popen([sys.executable, "-c", code], env=environ | {"RLGEN_HOME": str(self.home)})
        deadline = time.monotonic() + 120
        while not self.answers():
            assert time.monotonic() < deadline, "the server did not come up"
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "server")
    yield one
    if one.process is not None and one.process.poll() is None:
        one.stop()

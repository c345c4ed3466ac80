"""`make mlflow`: MLflow's own server and UI on this machine's tracking database, in the foreground."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import FrameType

from rlgen_k8s.errors import UserError
from rlgen_k8s.tracking.mlflow_store import sqlite_file
from rlgen_k8s.tracking.places import tracking_uri
from rlgen_k8s.tracking.reading import reading

HOST = "127.0.0.1"


def serve(port: int | None, environ: Mapping[str, str]) -> int:
    """Serve until Ctrl-C or SIGTERM, on `port` or (None) on a free one. Returns 0 then, else the server's exit code.

    Raises UserError if the port is taken, or if MLFLOW_TRACKING_URI is a server already.
    """
    uri = tracking_uri(environ)
    database = sqlite_file(uri)
    if database is None:
        raise UserError(f"MLFLOW_TRACKING_URI {uri}: is a server already; open it in a browser, or unset the variable")
    port = free_port(port)
    with reading(environ):
        pass  # the database is there, whole, before the server looks for it
    # One worker and no job runner: 540 MB instead of 2.5 GB.
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--default-artifact-root", (database.parent / "mlartifacts").as_uri()]
    switches = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(command, env={**os.environ, **environ, **switches}, start_new_session=True)

    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        os.killpg(process.pid, signal.SIGTERM)

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, stop)
    print(f"MLflow: http://{HOST}:{port}  (Ctrl-C ends it)", flush=True)
    code = process.wait()
    return 0 if stopped else code


def free_port(port: int | None) -> int:
    """`port` if nothing listens there, any free one for None. Raises UserError if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise UserError(
                f"port {port}: cannot be used ({error.strerror}); `ss -ltnp 'sport = :{port}'` names its holder; "
                "`rlgen mlflow --port` takes another"
            ) from error
        return int(probe.getsockname()[1])

"""A server that takes a request and answers too late."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CREATE = """
import sys
import rlgen_k8s.tracking
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
try:
    MlflowClient(sys.argv[1]).create_run("0")
except MlflowException as error:
    print(error)
    sys.exit(75)
"""


def test_a_run_is_asked_for_once_however_late_the_answer_comes():
    asked, over = [], threading.Event()

    class Late(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            over.wait(30)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", CREATE, f"http://127.0.0.1:{server.server_port}"],
            env={**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == 75, done.stderr
    assert "timed out" in done.stdout
    assert asked == ["/api/2.0/mlflow/runs/create"]

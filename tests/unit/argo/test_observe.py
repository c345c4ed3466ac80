"""What `rlgen watch` sees of a workflow."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kubernetes.client import ApiClient, Configuration

from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.observe import observe
from rlgen_k8s.runners.argo.workflows import WORKFLOWS


def test_an_answer_that_nobody_expected_ends_the_watch_instead_of_leaving_it_waiting():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"this is no event\n")

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster = Cluster(ApiClient(Configuration(host=f"http://127.0.0.1:{server.server_port}")), "test", "rlgen")

    with pytest.raises(TypeError):
        next(seen for seen in observe(cluster, WORKFLOWS, "tiny-1a2b3c4d", interval=10.0) if seen is not None)

    server.shutdown()
    server.server_close()

"""A service of the cluster on a port of this machine, for as long as a block runs."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.processes.child import guarded
from rlgen_k8s.runners.argo.api import Cluster

GRACE_SECONDS = 2.0
_SERVICE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(\.cluster\.local)?")


def is_service(url: str) -> bool:
    """Whether an address is that of a service inside the cluster: `http://name.namespace.svc:port`."""
    return _SERVICE.fullmatch(urlsplit(url).hostname or "") is not None


@contextmanager
def forward(cluster: Cluster, url: str) -> Iterator[str]:
    """The address on this machine at which the service behind `url` answers. Ends with the block, or with us."""
    parts = urlsplit(url)
    service = _SERVICE.fullmatch(parts.hostname or "")
    if service is None:
        raise UserError(f"address {url}: expected a service, as in http://name.namespace.svc:9000")
    if (kubectl := shutil.which("kubectl")) is None:
        raise UserError(f"kubectl: not on the PATH, and {url} has no public address; install kubectl, or set one")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    command = [kubectl, f"--context={cluster.context}", f"--namespace={service['namespace']}", "port-forward"]
    process = subprocess.Popen(
        guarded(
            [*command, "--address=127.0.0.1", f"service/{service['name']}", f":{port}"],
            GRACE_SECONDS,
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ,
        start_new_session=True,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said, opened = "", None
        for said in process.stdout:  # warnings may come first
            if opened := re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", said):
                break
        if opened is None:
            raise TryAgainError(f"address {url}: kubectl could not forward a port to it: {said.strip()}")
        # kubectl says a line for every connection; nobody may make it wait.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield parts._replace(netloc=f"127.0.0.1:{opened[1]}").geturl()
    finally:
        process.stdin.close()
        process.wait()

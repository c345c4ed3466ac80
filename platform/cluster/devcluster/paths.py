"""Where things lie and under which addresses they answer."""

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent

NAME = "rlgen-dev"
NODE = "rlgen-dev"
NODE_IP = "10.245.0.1"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_IP = "10.96.0.10"
API = f"https://{NODE_IP}:6443"
REGISTRY = "localhost:5000"


def _home(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "rlgen-k8s"


CACHE = _home("XDG_CACHE_HOME", ".cache")
BINARIES = CACHE / "bin"
CURRENT = BINARIES / "current"
"""Links to the binaries of the versions this tree names: a folder for PATH."""
BLOBS = CACHE / "registry"

STATE = _home("XDG_STATE_HOME", ".local/state") / "cluster"
CERTIFICATES = STATE / "certificates"
CONFIG = STATE / "config"
LOGS = STATE / "logs"
PROCESSES = STATE / "processes"
RUN = STATE / "run"
CONTAINERD_SOCKET = RUN / "containerd.sock"
AGENT_SOCKET = RUN / "agent.sock"
ADMIN = CONFIG / "admin.kubeconfig"

NODE_CACHE = Path("/var/lib/rlgen-cache")
"""Where the platform keeps weights on a node, by the chart's `values/dev.yaml`."""

CGROUPS = Path("/sys/fs/cgroup")
CNI_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

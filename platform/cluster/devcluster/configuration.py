"""Write the configuration files of the cluster's parts from the templates in config/."""

import json
from pathlib import Path
from string import Template

from devcluster.components import COMPONENTS
from devcluster.images import image_name
from devcluster.output import UserError
from devcluster.paths import (
    AGENT_SOCKET,
    API,
    BLOBS,
    CERTIFICATES,
    CNI_PLUGINS,
    CONFIG,
    CONTAINERD_SOCKET,
    DNS_IP,
    NAME,
    NODE,
    NODE_IP,
    PODS,
    RUN,
    SOURCE,
    STATE,
)

CNI = STATE / "cni"
_CLIENTS = ("admin", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "agent")


def write_configuration() -> None:
    """Write all of it; what has not changed stays as it is."""
    for template in sorted((SOURCE / "config").iterdir()):
        folder = CNI / "networks" if template.suffix == ".conflist" else CONFIG
        _write(folder / template.name, fill(template))
    for client in _CLIENTS:
        _write(CONFIG / f"{client}.kubeconfig", _kubeconfig(client))
    _link_plugins()


def fill(template: Path) -> str:
    """A template with this cluster's names, addresses and folders put in."""
    resolver = _resolver()
    nameserver = any(line.startswith("nameserver") for line in resolver.read_text().splitlines())
    return Template(template.read_text()).substitute(
        agent_socket=AGENT_SOCKET,
        blobs=BLOBS,
        certificates=CERTIFICATES,
        cni=CNI,
        config=CONFIG,
        containerd_socket=CONTAINERD_SOCKET,
        coredns_image=image_name("coredns"),
        dns_ip=DNS_IP,
        forward="forward . /etc/resolv.conf" if nameserver else "",
        name=NAME,
        node=NODE,
        node_ip=NODE_IP,
        pause_image=image_name("pause"),
        pods=PODS,
        resolv_conf=resolver,
        run=RUN,
        state=STATE,
    )


def _resolver() -> Path:
    """The machine's name servers; systemd's stub on a loopback address is of no use in a pod."""
    behind_stub = Path("/run/systemd/resolve/resolv.conf")
    return behind_stub if behind_stub.exists() else Path("/etc/resolv.conf")


def _kubeconfig(client: str) -> str:
    """JSON is YAML."""
    certificate, key = CERTIFICATES / f"{client}.crt", CERTIFICATES / f"{client}.key"
    cluster = {"server": API, "certificate-authority": str(CERTIFICATES / "ca.crt")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": cluster}],
            "users": [{"name": client, "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": client}}],
            "current-context": NAME,
        },
        indent=1,
    )


def _link_plugins() -> None:
    """containerd looks for CNI plug-ins in one folder; the agent is one beside Debian's."""
    folder = CNI / "plugins"
    folder.mkdir(parents=True, exist_ok=True)
    plugins = {"agent": COMPONENTS["agent"].binary("agent")}
    for name in ("ptp", "host-local", "loopback"):
        found = next((place / name for place in CNI_PLUGINS if (place / name).exists()), None)
        if found is None:
            places = " or ".join(map(str, CNI_PLUGINS))
            raise UserError(f"CNI plug-in {name}: not in {places}; install containernetworking-plugins")
        plugins[name] = found
    for name, target in plugins.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)

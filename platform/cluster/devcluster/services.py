"""The cluster's processes and how each is called."""

from pathlib import Path

from devcluster.components import COMPONENTS
from devcluster.paths import (
    AGENT_SOCKET,
    CERTIFICATES,
    CONFIG,
    NODE,
    NODE_IP,
    SERVICES,
    STATE,
)
from devcluster.processes import Service

_ETCD = "http://127.0.0.1:2379"
_ETCD_PEER = "http://127.0.0.1:2380"


def foundation() -> tuple[Service, ...]:
    """What runs before the API server."""
    return (
        Service(
            "etcd",
            (
                _binary("etcd", "etcd"),
                f"--name={NODE}",
                f"--data-dir={STATE / 'etcd'}",
                f"--listen-client-urls={_ETCD}",
                f"--advertise-client-urls={_ETCD}",
                f"--listen-peer-urls={_ETCD_PEER}",
                f"--initial-advertise-peer-urls={_ETCD_PEER}",
                f"--initial-cluster={NODE}={_ETCD_PEER}",
                # The state of a cluster for development need not survive a power failure.
                "--unsafe-no-fsync",
                "--log-level=warn",
            ),
            ports=(2379, 2380),
        ),
        Service("registry", (_binary("registry", "registry"), "serve", _config("registry.yaml")), ports=(5000,)),
        Service(
            "containerd",
            ("containerd", "--config", _config("containerd.toml")),
            files=(CONFIG / "containerd.toml",),
        ),
    )


def api_server() -> Service:
    """The API server, on the node's own address."""
    return Service(
        "kube-apiserver",
        (
            _binary("kube", "kube-apiserver"),
            f"--etcd-servers={_ETCD}",
            f"--bind-address={NODE_IP}",
            f"--advertise-address={NODE_IP}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={SERVICES}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            # PodSecurity is among those that are on anyway.
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={CERTIFICATES / 'ca.crt'}",
            f"--tls-cert-file={CERTIFICATES / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={CERTIFICATES / 'kube-apiserver.key'}",
            f"--kubelet-certificate-authority={CERTIFICATES / 'ca.crt'}",
            f"--kubelet-client-certificate={CERTIFICATES / 'kubelet-client.crt'}",
            f"--kubelet-client-key={CERTIFICATES / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={CERTIFICATES / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={CERTIFICATES / 'service-accounts.key'}",
        ),
        ports=(6443,),
        # Large CRDs (Argo's) make it fat otherwise.
        environment=(("GOGC", "50"),),
    )


def node_services() -> tuple[Service, ...]:
    """What runs once the API server answers."""
    return (
        Service(
            "kube-controller-manager",
            (
                _binary("kube", "kube-controller-manager"),
                *_client("kube-controller-manager"),
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                f"--flex-volume-plugin-dir={STATE / 'kubelet-plugins'}",
                "--use-service-account-credentials=true",
                f"--root-ca-file={CERTIFICATES / 'ca.crt'}",
                f"--service-account-private-key-file={CERTIFICATES / 'service-accounts.key'}",
                f"--cluster-signing-cert-file={CERTIFICATES / 'ca.crt'}",
                f"--cluster-signing-key-file={CERTIFICATES / 'ca.key'}",
            ),
            ports=(10257,),
        ),
        Service(
            "kube-scheduler",
            (
                _binary("kube", "kube-scheduler"),
                *_client("kube-scheduler"),
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
            ),
            ports=(10259,),
        ),
        Service(
            "agent",
            (
                _binary("agent", "agent"),
                f"-kubeconfig={CONFIG / 'agent.kubeconfig'}",
                f"-socket={AGENT_SOCKET}",
                f"-volumes={STATE / 'volumes'}",
                f"-node={NODE}",
            ),
        ),
        Service(
            "kubelet",
            (
                _binary("kube", "kubelet"),
                f"--config={_config('kubelet.yaml')}",
                f"--kubeconfig={CONFIG / 'kubelet.kubeconfig'}",
                f"--hostname-override={NODE}",
                f"--node-ip={NODE_IP}",
                f"--root-dir={STATE / 'kubelet'}",
                f"--cert-dir={STATE / 'kubelet' / 'pki'}",
            ),
            ports=(10248, 10250),
            files=(CONFIG / "kubelet.yaml",),
        ),
        Service(
            "kube-proxy",
            (_binary("kube", "kube-proxy"), f"--config={_config('kube-proxy.yaml')}"),
            ports=(10249, 10256),
            files=(CONFIG / "kube-proxy.yaml",),
        ),
    )


def all_services() -> tuple[Service, ...]:
    """In the order in which they start."""
    return (*foundation(), api_server(), *node_services())


def _binary(component: str, name: str) -> str:
    return str(COMPONENTS[component].binary(name))


def _config(name: str) -> str:
    return str(CONFIG / name)


def _client(name: str) -> tuple[str, ...]:
    path: Path = CONFIG / f"{name}.kubeconfig"
    return tuple(f"--{use}kubeconfig={path}" for use in ("", "authentication-", "authorization-"))

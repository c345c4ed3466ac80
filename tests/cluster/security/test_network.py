"""Whom a stage can reach: the store, MLflow, DNS. Tried from inside its pod, on servers that others do reach."""

import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client
from kubernetes.watch import Watch

pytestmark = pytest.mark.timeout(400)
SOON = 120
PORT = 8080
PUBLIC = "203.0.113.7"
"""An address for documentation, which nobody has: the node gets it for the time of the tests."""
# A server at a port, at any address or at one that is given to the node first.
SERVE = """
import fcntl, signal, socket, struct, sys
host, port = sys.argv[1], int(sys.argv[2])
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

def tell(request, values):
    fcntl.ioctl(control, request, struct.pack("16s16s", b"lo:rlgen", values))

def stop(*_):
    if host:
        tell(0x8914, struct.pack("H", 0))  # SIOCSIFFLAGS, down
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
if host:
    tell(0x8916, struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(host)))  # SIOCSIFADDR
    tell(0x891C, struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton("255.255.255.255")))  # SIOCSIFNETMASK
server = socket.create_server((host, port))
while True:
    server.accept()[0].close()
"""
# For each host:port whether a connection opens.
CONNECT = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=4).close()
        print(target, "open")
    except OSError as error:
        print(target, "closed", error)
"""


def opened(said: str) -> dict[str, bool]:
    return {line.split()[0]: line.split()[1] == "open" for line in said.splitlines()}


class Pods:
    """Pods that are no stages: with another namespace's rights, or with other labels."""

    def __init__(self, core: client.CoreV1Api, image: str) -> None:
        self.core, self.image = core, image

    def start(self, namespace: str, labels: dict[str, str], command: list[str], **spec: Any) -> str:
        """Make a pod of the stages' image; its name."""
        rights = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        main = {"name": "main", "image": self.image, "command": command, "securityContext": rights}
        whole = {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "containers": [main | spec.pop("main", {})],
            **spec,
        }
        body = {"metadata": {"generateName": "rlgen-test-", "labels": labels}, "spec": whole}
        return str(self.core.create_namespaced_pod(namespace, body).metadata.name)

    def serve(self, namespace: str, host: str, port: int, **spec: Any) -> str:
        """A server, once it answers: where it is."""
        probe = {"tcpSocket": {"port": port, **({"host": host} if host else {})}, "periodSeconds": 1}
        main = spec.pop("main", {}) | {"readinessProbe": probe}
        name = self.start(namespace, {}, ["python", "-c", SERVE, host, str(port)], main=main, **spec)

        def answers(pod: Any) -> bool:
            return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())

        ready = self.wait(namespace, name, answers)
        return f"{host or ready.status.pod_ip}:{port}"

    def connect(self, namespace: str, labels: dict[str, str], *targets: str) -> dict[str, bool]:
        """What a pod with these labels reaches."""
        name = self.start(namespace, labels, ["python", "-c", CONNECT, *targets])
        try:
            self.wait(namespace, name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
            return opened(self.core.read_namespaced_pod_log(name, namespace))
        finally:
            self.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)

    def wait(self, namespace: str, name: str, seen: Any) -> Any:
        """The pod as soon as `seen` holds of it."""
        watch = Watch()
        selector = {"field_selector": f"metadata.name={name}", "timeout_seconds": SOON}
        for event in watch.stream(self.core.list_namespaced_pod, namespace, **selector):
            if seen(event["object"]):
                watch.stop()
                return event["object"]
        raise AssertionError(f"{namespace}/{name}: not so within {SOON} s")


@pytest.fixture(scope="module")
def pods(cluster: Any, platform: Any) -> Pods:
    return Pods(cluster.core, platform.image)


@pytest.fixture(scope="module")
def outside(cluster: Any) -> Iterator[str]:
    """A namespace without policies, and without limits to what its pods may be."""
    name = f"rlgen-test-{secrets.token_hex(3)}"
    cluster.core.create_namespace({"metadata": {"name": name}})
    yield name
    cluster.core.delete_namespace(name)


@pytest.fixture(scope="module")
def other(pods: Pods, outside: str) -> str:
    """A server of somebody else's, in another namespace."""
    return pods.serve(outside, "", PORT)


@pytest.fixture(scope="module")
def internet(pods: Pods, outside: str) -> str:
    """A server at a public address."""
    rights = {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}}
    root = {"runAsUser": 0, "runAsNonRoot": False}
    return pods.serve(outside, PUBLIC, 443, hostNetwork=True, securityContext=root, main={"securityContext": rights})


@pytest.fixture(scope="module")
def kubelet(cluster: Any, stage: Any) -> str:
    """The node itself."""
    [node] = cluster.core.list_node(field_selector=f"metadata.name={stage.spec['nodeName']}").items
    return f"{next(one.address for one in node.status.addresses if one.type == 'InternalIP')}:10250"


@pytest.fixture(scope="module")
def argo(cluster: Any) -> str:
    return f"rlgen-argo-server.{cluster.namespace}.svc:2746"


@pytest.fixture(scope="module")
def database(cluster: Any) -> str:
    return f"rlgen-postgres.{cluster.namespace}.svc:5432"


@pytest.fixture(scope="module")
def services(platform: Any) -> list[str]:
    """The store and MLflow, as the platform tells stages."""
    store = parse_qs(urlsplit(platform.store).query)["endpoint"][0]
    return [urlsplit(store).netloc, urlsplit(platform.tracking).netloc]


def test_given_a_stage_when_it_connects_to_the_store_and_to_mlflow_then_both_answer(stage, services):
    assert opened(stage.python(CONNECT, *services)) == dict.fromkeys(services, True)


def test_given_a_stage_when_it_connects_to_anybody_else_then_nobody_is_reached(
    cluster, stage, pods, outside, other, internet, kubelet, argo, database
):
    reachable = [other, internet, kubelet, argo]
    assert pods.connect(outside, {}, *reachable) == dict.fromkeys(reachable, True), "the servers answer to others"

    assert opened(stage.python(CONNECT, *reachable, database)) == dict.fromkeys([*reachable, database], False)


def test_given_a_pod_that_is_let_out_then_it_reaches_the_internet_and_nothing_inside(
    cluster, pods, other, internet, kubelet, argo, database
):
    labels = {"rlgen-k8s/internet": "true"}
    inside = [other, kubelet, argo, database]

    seen = pods.connect(cluster.namespace, labels, internet, *inside)

    assert seen == {internet: True, **dict.fromkeys(inside, False)}


def test_given_a_pod_that_is_no_stage_when_it_connects_to_the_database_or_to_the_internet_then_it_is_refused(
    cluster, pods, internet, other, database
):
    targets = [internet, other, database]

    assert pods.connect(cluster.namespace, {}, *targets) == dict.fromkeys(targets, False)

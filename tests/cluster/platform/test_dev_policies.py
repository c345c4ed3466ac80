"""Network policies hold on the cluster for development, from a pod's first packet on."""

import pytest

API, NODE_API = ("10.96.0.1", 443), ("10.245.0.1", 6443)
Target = tuple[str, int]


def probe(*targets: Target) -> str:
    """A script that says for each target whether a connection opens."""
    lines = [
        f"timeout 5 bash -c '</dev/tcp/{ip}/{port}' 2>/dev/null && echo open || echo closed" for ip, port in targets
    ]
    return "\n".join(lines)


def policy(pods, name, **spec):
    pods.network.create_namespaced_network_policy(pods.namespace, {"metadata": {"name": name}, "spec": spec})


@pytest.fixture(scope="module")
def store(pods) -> str:
    return pods.serve("store", 8080, 8081, labels={"app": "store"})


@pytest.fixture(scope="module")
def other(pods) -> str:
    return pods.serve("other", 8080, labels={"app": "other"})


@pytest.fixture(scope="module")
def free(pods, store, other) -> list[str]:
    """What a pod reaches before there is a policy."""
    return pods.run("free", probe((store, 8080), (store, 8081), (other, 8080), API, NODE_API))


@pytest.fixture(scope="module")
def denied(pods, free) -> None:
    policy(pods, "deny", podSelector={}, policyTypes=["Ingress", "Egress"])


@pytest.fixture(scope="module")
def allowed(pods, denied) -> None:
    """Clients reach port 8080 of the store, and no more."""
    clients, stores = {"matchLabels": {"role": "client"}}, {"matchLabels": {"app": "store"}}
    port = [{"port": 8080, "protocol": "TCP"}]
    egress = [{"to": [{"podSelector": stores}], "ports": port}]
    policy(pods, "to-store", podSelector=clients, policyTypes=["Egress"], egress=egress)
    ingress = [{"from": [{"podSelector": clients}], "ports": port}]
    policy(pods, "from-clients", podSelector=stores, policyTypes=["Ingress"], ingress=ingress)


def test_without_a_policy_everything_is_reached(free):
    assert free == ["open"] * 5


def test_a_denied_pod_reaches_nothing_from_its_first_packet_on(pods, denied, store, other):
    targets = [(store, 8080), (other, 8080), API, NODE_API]
    assert pods.run("denied", probe(*targets)) == ["closed"] * 4


def test_a_client_reaches_what_its_policies_name_and_nothing_else(pods, allowed, store, other):
    targets = [(store, 8080), (store, 8081), (other, 8080), API, NODE_API]
    seen = pods.run("client", probe(*targets), labels={"role": "client"})
    assert seen == ["open", "closed", "closed", "closed", "closed"]


def test_a_pod_that_is_no_client_is_kept_from_the_store(pods, allowed, store):
    tourists, anywhere = {"matchLabels": {"role": "tourist"}}, [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]
    policy(pods, "anywhere", podSelector=tourists, policyTypes=["Egress"], egress=anywhere)
    assert pods.run("tourist", probe((store, 8080), API), labels={"role": "tourist"}) == ["closed", "open"]


def test_an_address_block_and_its_exception(pods, denied, store, other):
    block = {"cidr": "10.244.0.0/24", "except": [f"{store}/32"]}
    picky = {"matchLabels": {"role": "picky"}}
    policy(pods, "block", podSelector=picky, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": block}]}])
    servers = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["store", "other"]}]}
    policy(pods, "servers", podSelector=servers, policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": picky}]}])
    assert pods.run("picky", probe((store, 8080), (other, 8080)), labels={"role": "picky"}) == ["closed", "open"]

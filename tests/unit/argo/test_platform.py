"""What the platform's ConfigMap says, and how its addresses are reached."""

import pytest
from kubernetes.client import ApiClient

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.forward import forward, is_service
from rlgen_k8s.runners.argo.links import argo_link
from rlgen_k8s.runners.argo.platform import image_of, parse_platform
from rlgen_k8s.study.load import load_study

DATA = {
    "store": "s3://rlgen/results?endpoint=http://rlgen-minio.rlgen.svc:9000",
    "store-public": "",
    "tracking": "http://rlgen-mlflow.rlgen.svc:5000",
    "image": "localhost:5000/rlgen/stages@sha256:abc",
    "service-account": "rlgen-stage",
    "executor-service-account": "rlgen-executor",
    "store-secret": "rlgen-store",
    "something-else": "ignored",
}


def test_a_platform_is_read_with_what_it_does_not_say_left_empty():
    platform = parse_platform(DATA, "rlgen", "uid-1")
    assert platform.store == DATA["store"]
    assert platform.executor_service_account == "rlgen-executor"
    assert (platform.store_public, platform.argo_ui, platform.chart_version) == ("", "", "")


@pytest.mark.parametrize("key", ["store", "image", "store-secret"])
def test_a_missing_or_empty_key_is_named_with_what_to_do(key):
    for data in ({k: v for k, v in DATA.items() if k != key}, DATA | {key: ""}):
        with pytest.raises(UserError, match=rf"rlgen-platform in rlgen: {key} is missing or empty; run `make install`"):
            parse_platform(data, "rlgen", "uid-1")


def test_only_an_address_inside_the_cluster_needs_a_forwarded_port():
    assert is_service("http://rlgen-minio.rlgen.svc:9000")
    assert is_service("http://rlgen-mlflow.rlgen.svc.cluster.local:5000")
    assert not is_service("https://s3.eu-central-1.amazonaws.com")
    assert not is_service("http://10.245.0.1:30900")
    assert not is_service("")


def test_the_platform_s_image_is_used_unless_the_study_names_one():
    platform = parse_platform(DATA, "rlgen", "uid-1")
    assert image_of(platform, None) == DATA["image"]
    assert image_of(platform, load_study("tiny")) == DATA["image"]
    assert image_of(platform, load_study("tiny", ["image=mine:1"])) == "mine:1"


@pytest.mark.parametrize(
    ("addresses", "link"),
    [
        ({"argo-ui": "https://argo.example.com/", "argo-forwarded": "x"}, "https://argo.example.com/workflows/team/w"),
        (
            {"argo-forwarded": "https://localhost:2746"},
            "https://localhost:2746/workflows/team/w after `kubectl -n team port-forward svc/rlgen-argo-server 2746`",
        ),
        ({}, "no address of its UI is known; public.argo of the chart takes one"),
    ],
)
def test_a_workflow_s_link_is_where_argo_s_ui_is(addresses, link):
    platform = parse_platform(DATA | addresses, "team", "uid-1")
    assert argo_link(Cluster(ApiClient(), "test", "team"), platform, "w") == link


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """A kubectl that says this and, unless it is an error, goes on."""

    def says(text):
        script = f"#!/bin/sh\necho '{text}'\ncase '{text}' in *error*) exit 1;; esac\nexec sleep 60\n"
        (tmp_path / "kubectl").write_text(script)
        (tmp_path / "kubectl").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return forward(Cluster(ApiClient(), "test", "rlgen"), "http://rlgen-minio.rlgen.svc:9000/results")

    return says


@pytest.mark.parametrize("first", ["", "W1121 a warning\n"])
def test_a_port_is_forwarded_once_kubectl_says_which(kubectl, first):
    with kubectl(f"{first}Forwarding from 127.0.0.1:4711 -> 9000") as local:
        assert local == "http://127.0.0.1:4711/results"


def test_a_port_that_cannot_be_forwarded_is_told_in_kubectl_s_words(kubectl):
    forwarded = kubectl("W1121 a warning\nerror: services rlgen-minio not found")
    with pytest.raises(TryAgainError, match="could not forward a port to it: error: services rlgen-minio"), forwarded:
        pass

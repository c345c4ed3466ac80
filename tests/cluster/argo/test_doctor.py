"""The doctor on the real platform, and on one that lacks everything."""

import time

import pytest
from kubernetes import client

LAME = "rlgen-lame"


def test_given_the_platform_when_the_doctor_looks_then_every_check_is_ok_within_three_seconds(cluster):
    said = cluster.rlgen("doctor", "tiny")

    lines = said.splitlines()
    subjects = "api argo controller version rights security objects store mlflow image nodes"
    for subject in subjects.split():
        assert any(line.startswith("ok") and line.split()[1] == subject for line in lines), f"{subject}:\n{said}"
    seconds = float(lines[-1].split(" checks in ")[1].split(" s")[0])
    assert seconds <= 3, said


@pytest.fixture
def lame(cluster):
    """A namespace whose platform names what is not there."""
    core = cluster.core
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=LAME)))
    data = core.read_namespaced_config_map("rlgen-platform", cluster.namespace).data | {
        "image": "localhost:5000/rlgen/none:1",
        "tracking-public": "http://127.0.0.1:9",
        "store-secret": "none",
    }
    core.create_namespaced_config_map(
        LAME, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="rlgen-platform"), data=data)
    )
    yield LAME
    core.delete_namespace(LAME)
    ends = time.monotonic() + 120
    from kubernetes import watch

    for event in watch.Watch().stream(
        core.list_namespace, field_selector=f"metadata.name={LAME}", timeout_seconds=int(ends - time.monotonic())
    ):
        if event["type"] == "DELETED":
            break


def test_given_a_platform_that_lacks_everything_when_the_doctor_looks_then_each_line_says_what_to_do(cluster, lame):
    said = cluster.rlgen("doctor", "tiny", "--namespace", lame, "--set", "pods.grpo.gpus=99", code=2)

    for words in (
        "FAIL security    namespace rlgen-lame enforces nothing, expected restricted",
        "FAIL objects     missing: Secret none, ServiceAccount rlgen-stage",
        "FAIL image       localhost:5000/rlgen/none:1: localhost:5000 does not have it; `make images`",
        "FAIL nodes       grpo asks for",
        "?    mlflow      does not answer",
    ):
        assert words in said

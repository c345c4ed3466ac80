import json

import pytest
import yaml

from rlgen_k8s.dag.place import CHART
from rlgen_k8s.store.open import open_store

EGRESS = '[{"to": [{"ipBlock": {"cidr": "10.9.8.7/32"}}], "ports": [{"port": 443}]}]'
OFF = {
    "argo-server": ["argo.server.enabled=false"],
    "argo-controller": ["argo.enabled=false"],
    "minio": ["minio.enabled=false", "store.endpoint=https://s3.test", "store.existingSecret=mine"],
    "postgres": ["postgres.enabled=false", "mlflow.databaseSecret=mine"],
    "mlflow": ["mlflow.enabled=false", "postgres.enabled=false", "tracking.url=https://mlflow.test"],
}


def arguments(*parts):
    settings = [setting for part in parts for setting in OFF[part]]
    return [
        *(word for setting in settings for word in ("--set", setting)),
        "--set-json",
        f"networkPolicies.egress={EGRESS}",
    ]


def config_map(objects, name):
    return next(item["data"] for item in objects if item["kind"] == "ConfigMap" and item["metadata"]["name"] == name)


@pytest.mark.parametrize("part", OFF)
def test_a_part_that_is_off_leaves_nothing(render, part):
    objects = render("dev", *arguments(part))
    text = json.dumps(objects)
    assert f'"app.kubernetes.io/component": "{part}"' not in text
    assert f"rlgen-{part}" not in text


def test_with_all_parts_off_the_studies_objects_remain(render):
    objects = render("dev", *arguments("argo-controller", "minio", "mlflow"), "--set", "cache.enabled=false")
    components = {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in objects}
    assert components == {"studies"}
    assert {item["kind"] for item in objects} == {
        "ConfigMap",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
    }


def test_policies_are_a_part_too(render):
    objects = render("dev", "--set", "networkPolicies.enabled=false")
    assert "NetworkPolicy" not in {item["kind"] for item in objects}


def test_the_platform_names_what_it_installed(render):
    settings = "public.store=http://10.0.0.5:30900,images.stagesVllm=registry.test/stages-vllm:1"
    data = config_map(render("dev", "--set", settings), "rlgen-platform")
    assert data["store"] == "s3://rlgen/results?endpoint=http://rlgen-minio.rlgen.svc:9000"
    assert data["store-public"] == "s3://rlgen/results?endpoint=http://10.0.0.5:30900"
    assert data["tracking"] == "http://rlgen-mlflow.rlgen.svc:5000"
    assert (data["image"], data["image-vllm"]) == ("registry.test/stages:1", "registry.test/stages-vllm:1")
    assert data["store-secret"] == "rlgen-store"


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ("argo.server.tls=true", "https://localhost:2746"),
        ("argo.server.tls=false", "http://localhost:2746"),
        ("argo.server.enabled=false", ""),
        ("argo.enabled=false", ""),
    ],
)
def test_the_platform_says_how_its_argo_server_is_spoken_to(render, settings, address):
    assert config_map(render("dev", "--set", settings), "rlgen-platform")["argo-forwarded"] == address


def test_the_platform_names_what_is_elsewhere(render):
    data = config_map(render("dev", *arguments("minio", "mlflow"), "--set", "store.region=eu-west-1"), "rlgen-platform")
    assert data["store"] == data["store-public"] == "s3://rlgen/results?endpoint=https://s3.test&region=eu-west-1"
    assert data["tracking"] == data["tracking-public"] == "https://mlflow.test"
    assert data["store-secret"] == "mine"


@pytest.mark.parametrize("parts", [(), ("minio",)])
def test_the_package_understands_the_stores_address(render, parts):
    data = config_map(render("dev", *arguments(*parts)), "rlgen-platform")
    credentials = {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s"}
    assert open_store(data["store"], credentials).blobs.uri == "s3://rlgen/results"


@pytest.mark.parametrize(
    ("parts", "endpoint", "insecure"), [((), "rlgen-minio.rlgen.svc:9000", True), (("minio",), "s3.test", False)]
)
def test_argo_keeps_logs_in_the_same_store(render, parts, endpoint, insecure):
    repository = yaml.safe_load(config_map(render("dev", *arguments(*parts)), "artifact-repositories")["rlgen"])
    assert repository["archiveLogs"] is True
    assert repository["s3"]["endpoint"] == endpoint
    assert repository["s3"]["insecure"] is insecure
    assert repository["s3"]["keyFormat"] == "argo/{{workflow.name}}/{{pod.name}}"


def test_stages_reach_what_is_elsewhere(render):
    objects = render("dev", *arguments("minio", "mlflow"))
    [policy] = [
        item for item in objects if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "rlgen-stages"
    ]
    assert {"to": [{"ipBlock": {"cidr": "10.9.8.7/32"}}], "ports": [{"port": 443}]} in policy["spec"]["egress"]


def test_two_controllers_elect_a_leader(render):
    def controller(replicas):
        objects = render("dev", "--set", f"argo.controller.replicas={replicas}")
        [found] = [
            item
            for item in objects
            if item["kind"] == "Deployment" and item["metadata"]["name"] == "rlgen-argo-controller"
        ]
        environment = {
            entry["name"]: entry.get("value") for entry in found["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        return found["spec"]["strategy"]["type"], environment["LEADER_ELECTION_DISABLE"]

    assert controller(1) == ("Recreate", "true")
    assert controller(2) == ("RollingUpdate", "false")


def test_the_tracking_servers_public_host_may_call_it(render):
    objects = render("dev", "--set", "public.tracking=http://10.0.0.5:30500")
    [command] = [
        item["spec"]["template"]["spec"]["containers"][0]["command"]
        for item in objects
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "rlgen-mlflow"
    ]
    [hosts] = [
        word.removeprefix("--allowed-hosts=").split(",") for word in command if word.startswith("--allowed-hosts=")
    ]
    assert {"10.0.0.5:30500", "rlgen-mlflow.rlgen.svc:5000"} <= set(hosts)
    assert "*" not in hosts


def test_a_workflow_asks_for_what_the_chart_installs(render):
    data = config_map(render("dev"), "rlgen-platform")
    assert (data["store"], data["tracking"]) == (CHART.store, CHART.tracking)
    assert data["service-account"] == CHART.service_account
    assert data["executor-service-account"] == CHART.executor_service_account
    assert data["store-secret"] == CHART.store_secret
    assert CHART.artifact_repository in config_map(render("dev"), CHART.artifact_repositories)

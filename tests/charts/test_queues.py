"""Stages that ask for GPUs or run on several nodes: what the chart gives them, where queues are switched on."""

import pytest
import yaml

from rlgen_k8s.dag.names import GANG
from rlgen_k8s.dag.place import Queue
from rlgen_k8s.runners.argo.doctor.queue import EXECUTOR
from rlgen_k8s.runners.quantity import quantity

ON = ("--set", "queues.enabled=true")


@pytest.fixture(scope="module")
def objects(render):
    return {(item["kind"], item["metadata"]["name"]): item for item in render("dev", *ON)}


def test_without_queues_there_is_nothing_of_them(render):
    objects = render("dev")
    assert not [item for item in objects if "kueue" in item["apiVersion"] or "launcher" in item["metadata"]["name"]]
    [platform] = [item for item in objects if item["metadata"]["name"] == "rlgen-platform"]
    assert "queue" not in platform["data"]


def test_the_queue_of_the_namespace_has_the_quota_that_the_values_name(render):
    quota = "queues.quota.cpu=12,queues.quota.memory=3Gi,queues.quota.ephemeral-storage=1Ti"
    made = {(item["kind"], item["metadata"]["name"]): item for item in render(None, *ON, "--set", quota)}
    [group] = made["ClusterQueue", "rlgen-stages"]["spec"]["resourceGroups"]
    [flavor] = group["flavors"]
    assert ("ResourceFlavor", flavor["name"]) in made
    given = {item["name"]: item["nominalQuota"] for item in flavor["resources"]}
    assert given == {"cpu": "12", "memory": "3Gi", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "32"}
    assert group["coveredResources"] == sorted(given)


def test_the_platform_names_queue_priority_and_launcher_that_are_there(objects):
    data = objects["ConfigMap", "rlgen-platform"]["data"]
    assert objects["LocalQueue", data["queue"]]["spec"]["clusterQueue"] == "rlgen-stages"
    assert objects["WorkloadPriorityClass", data["queue-priority"]]["value"] == 0
    assert ("ServiceAccount", data["launcher-service-account"]) in objects
    assert Queue(data["queue"], data["queue-priority"], data["launcher-service-account"]) == Queue()


def test_only_this_namespace_s_stages_are_let_in(objects):
    selector = objects["ClusterQueue", "rlgen-stages"]["spec"]["namespaceSelector"]
    assert selector == {"matchLabels": {"kubernetes.io/metadata.name": "rlgen"}}


def test_the_doctor_knows_what_argo_s_own_container_asks_for(objects):
    """Kueue counts it beside the stage's."""
    config = yaml.safe_load(objects["ConfigMap", "rlgen-argo-controller"]["data"]["config"])
    asked = config["executor"]["resources"]["requests"]
    assert {name: quantity(amount) for name, amount in asked.items()} == EXECUTOR


def test_a_launcher_may_do_what_it_does_and_no_more(objects):
    rules = objects["Role", "rlgen-launcher"]["rules"]
    rights = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    jobsets = {("jobsets", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")}
    assert rights == jobsets | {("workloads", "list"), ("pods", "list"), ("pods/log", "get")}
    [subject] = objects["RoleBinding", "rlgen-launcher"]["subjects"]
    assert subject["name"] == "rlgen-launcher"
    assert objects["ServiceAccount", "rlgen-launcher"]["automountServiceAccountToken"] is True


def test_the_pods_of_a_gang_reach_each_other_and_nobody_else_reaches_them(objects):
    spec = objects["NetworkPolicy", "rlgen-gangs"]["spec"]
    gang = {"matchExpressions": [{"key": GANG, "operator": "Exists"}]}
    assert spec["podSelector"] == gang
    assert spec["ingress"] == [{"from": [{"podSelector": gang}]}]
    assert spec["egress"] == [{"to": [{"podSelector": gang}]}]


@pytest.mark.parametrize(
    ("setting", "named"),
    [("queues.quota.cpu=null", "cpu"), ("queues.priority=high", "priority"), ("queues.cohort=all", "cohort")],
)
def test_a_wrong_value_is_refused_by_name(refuse, setting, named):
    assert named in refuse(*ON, "--set", setting)

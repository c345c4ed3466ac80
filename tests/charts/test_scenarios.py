from pathlib import Path

import pytest

CHART = Path(__file__).parents[2] / "charts/rlgen"
SCENARIOS = sorted(path.stem for path in (CHART / "values").glob("*.yaml"))
LONG_RUNNING = {"Deployment", "StatefulSet"}
FROM_OUTSIDE = {"rlgen-s3", "rlgen-database", "registry"}
"""Secrets that values/production.yaml expects to exist."""


@pytest.fixture(params=SCENARIOS)
def objects(request, render):
    return render(request.param)


def pods(objects):
    """Name and pod spec of all that makes pods, with the labels its pods carry."""
    for item in objects:
        if item["kind"] in LONG_RUNNING | {"Job"}:
            template = item["spec"]["template"]
            yield item, template["metadata"]["labels"], template["spec"]


def containers(objects):
    for item, _, pod in pods(objects):
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield item, container


def named(objects, kind):
    return {item["metadata"]["name"] for item in objects if item["kind"] == kind}


def test_there_are_the_scenarios_that_the_documents_name():
    assert SCENARIOS == ["dev", "gpu-box", "production"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_passes_lint(helm, scenario):
    values = ["--values", str(CHART / f"values/{scenario}.yaml")]
    images = ["--set", "images.stages=registry.test/stages:1,images.tracking=registry.test/tracking:1"]
    done = helm("lint", str(CHART), "--strict", *images, *values)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_object_says_what_it_belongs_to(objects):
    for item in objects:
        metadata = item["metadata"]
        if item["kind"] != "PersistentVolume":  # of no namespace
            assert metadata["namespace"] == "rlgen", metadata
        assert metadata["labels"].keys() >= {
            f"app.kubernetes.io/{label}"
            for label in ("name", "instance", "component", "part-of", "version", "managed-by")
        }


def test_every_pod_passes_the_restricted_standard(objects):
    for item, _, pod in pods(objects):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, item["metadata"]["name"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for volume in pod.get("volumes", []):
            assert volume.keys() <= {"name", "configMap", "secret", "emptyDir", "persistentVolumeClaim"}


def test_every_container_is_closed(objects):
    for item, container in containers(objects):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, item["metadata"]["name"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["runAsNonRoot"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}


def test_every_container_says_what_it_takes(objects):
    for _, container in containers(objects):
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_every_image_is_pinned(objects):
    for _, container in containers(objects):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        assert tag and tag != "latest", container["image"]


def test_every_server_has_probes(objects):
    for item in objects:
        if item["kind"] in LONG_RUNNING:
            for container in item["spec"]["template"]["spec"]["containers"]:
                assert container.keys() >= {"startupProbe", "readinessProbe", "livenessProbe"}, item["metadata"]["name"]


def test_only_argo_has_a_token(objects):
    for item, _, pod in pods(objects):
        if pod.get("automountServiceAccountToken") is not False:
            assert pod["serviceAccountName"] in {"rlgen-argo-controller", "rlgen-argo-server"}, item["metadata"]["name"]


def test_everything_that_pods_refer_to_is_there(objects):
    secrets = named(objects, "Secret") | FROM_OUTSIDE
    for _, _, pod in pods(objects):
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in named(objects, "ConfigMap")
            if "secret" in volume:
                assert volume["secret"]["secretName"] in secrets
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in named(objects, "PersistentVolumeClaim")
        if "serviceAccountName" in pod:
            assert pod["serviceAccountName"] in named(objects, "ServiceAccount")
        for reference in pod.get("imagePullSecrets", []):
            assert reference["name"] in secrets
    for _, container in containers(objects):
        for variable in container.get("env", []):
            if "valueFrom" in variable and "secretKeyRef" in variable["valueFrom"]:
                assert variable["valueFrom"]["secretKeyRef"]["name"] in secrets


def test_no_password_stands_in_a_pod_or_a_config_map(objects):
    for _, container in containers(objects):
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("PASSWORD", "SECRET", "URI", "USER")):
                assert "secretKeyRef" in variable["valueFrom"], variable


def test_every_service_finds_its_pods_and_port(objects):
    for item in objects:
        if item["kind"] == "Service":
            selector = item["spec"]["selector"].items()
            found = [pod for _, labels, pod in pods(objects) if selector <= labels.items()]
            assert len(found) == 1, item["metadata"]["name"]
            ports = {port["name"] for container in found[0]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= ports


def test_data_and_passwords_outlive_the_release(objects):
    kept = [item for item in objects if item["kind"] in {"PersistentVolumeClaim", "Secret"}]
    for item in kept:
        nothing_lost = item["metadata"]["name"] == "rlgen-cache"
        if item.get("type") != "kubernetes.io/service-account-token" and not nothing_lost:
            assert item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", item["metadata"]["name"]


def test_the_executor_may_report_and_no_more(objects):
    [role] = [item for item in objects if item["kind"] == "Role" and item["metadata"]["name"] == "rlgen-executor"]
    assert role["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    bound = [item for item in objects if item["kind"] == "RoleBinding" and item["roleRef"]["name"] == "rlgen-executor"]
    assert [subject["name"] for item in bound for subject in item["subjects"]] == ["rlgen-executor"]
    for item in objects:
        if item["kind"] == "RoleBinding":
            assert "rlgen-stage" not in [subject["name"] for subject in item["subjects"]]


def test_argo_reads_the_stores_secret_and_no_other(objects):
    for item in objects:
        if item["kind"] == "Role":
            for rule in item["rules"]:
                assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
                if "secrets" in rule["resources"]:
                    assert rule["verbs"] == ["get"] and rule["resourceNames"] in (["rlgen-store"], ["rlgen-s3"])


def test_there_is_nothing_beyond_the_namespace(objects):
    assert not [item["kind"] for item in objects if item["kind"].startswith("Cluster")]


def test_nothing_is_reached_that_no_policy_lets(objects):
    policies = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "NetworkPolicy"}
    assert policies["rlgen-default"]["podSelector"] == {}
    assert set(policies["rlgen-default"]["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policies["rlgen-default"]
    for rule in policies["rlgen-stages"]["egress"]:
        assert rule["to"], "egress to anywhere"
        assert all(peer.get("ipBlock", {}).get("cidr") != "0.0.0.0/0" for peer in rule["to"])
    for _, labels, _ in pods(objects):
        component = labels["app.kubernetes.io/component"]
        assert f"rlgen-{component}" in policies


def test_argo_is_of_one_version(render):
    go_mod = (CHART.parents[1] / "platform/cluster/go/argo/go.mod").read_text()
    [version] = [line.split()[-1] for line in go_mod.splitlines() if "argoproj/argo-workflows/v4" in line]
    controller, server = (
        container for _, container in containers(render(None)) if container["name"] in {"controller", "server"}
    )
    executor = next(argument for argument in controller["args"] if argument.startswith("--executor-image="))
    assert controller["image"].endswith(f":{version}")
    assert server["image"].endswith(f":{version}")
    assert executor.endswith(f":{version}-nonroot")
    assert f"ref={version}" in (CHART / "templates/_checks.tpl").read_text()

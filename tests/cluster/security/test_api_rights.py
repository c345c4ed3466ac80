"""What the pod of a stage can do with the API server: nothing from the stage, one thing from Argo's executor."""

import json

import pytest
from kubernetes import client
from kubernetes.client import ApiException
from tests.cluster.rights import rights

pytestmark = pytest.mark.timeout(400)
RESULTS = ("argoproj.io", "v1alpha1", "workflowtaskresults")
GET = """
import json, os, ssl, sys, urllib.error, urllib.request
context = ssl._create_unverified_context()
host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
for path in sys.argv[1:]:
    try:
        with urllib.request.urlopen(host + path, context=context, timeout=10) as answer:
            print(answer.status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def test_given_a_stage_when_it_asks_for_secrets_or_for_another_namespace_then_it_is_refused(cluster, stage):
    namespace = cluster.namespace
    asked = [
        *(f"/api/v1/namespaces/{namespace}/{kind}" for kind in ("secrets", "pods", "configmaps")),
        f"/api/v1/namespaces/{namespace}/secrets/rlgen-store",
        f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows",
        "/api/v1/namespaces/kube-system/configmaps",
        "/api/v1/namespaces/default/services",
        "/api/v1/secrets",
        "/api/v1/nodes",
    ]

    said = stage.python(GET, *asked).split()

    assert len(said) == len(asked)
    assert set(said) <= {"401", "403"}


def test_given_the_executors_token_then_it_may_report_results_and_nothing_else_anywhere(cluster, executor):
    namespaces = [one.metadata.name for one in cluster.core.list_namespace().items]

    may = {name: rights(executor, name) for name in namespaces}

    assert may.pop(cluster.namespace) == {"workflowtaskresults.argoproj.io": {"create", "patch"}}
    assert may, "expected other namespaces beside the platform's"
    assert not any(may.values()), may


def test_given_the_executors_token_when_it_is_used_for_more_then_it_is_refused(cluster, stage, executor):
    core, custom, namespace = client.CoreV1Api(executor), client.CustomObjectsApi(executor), cluster.namespace
    workflows = ("argoproj.io", "v1alpha1", namespace, "workflows")
    more = [
        lambda: core.list_namespaced_secret(namespace),
        lambda: core.read_namespaced_secret("rlgen-store", namespace),
        lambda: core.list_namespaced_pod(namespace),
        lambda: core.delete_namespaced_pod(stage.name, namespace, dry_run="All"),
        lambda: core.connect_get_namespaced_pod_exec(stage.name, namespace, command=["true"]),
        lambda: core.create_namespaced_pod(namespace, client.V1Pod(), dry_run="All"),
        lambda: core.list_namespaced_config_map("kube-system"),
        lambda: custom.get_namespaced_custom_object(*workflows, stage.workflow),
        lambda: custom.patch_namespaced_custom_object(*workflows, stage.workflow, {"spec": {}}, dry_run="All"),
        lambda: custom.list_namespaced_custom_object(*RESULTS[:2], namespace, RESULTS[2]),
    ]

    for ask in more:
        with pytest.raises(ApiException) as refused:
            ask()
        assert refused.value.status == 403, json.loads(refused.value.body)["message"]


def test_given_the_executors_token_when_it_reports_a_result_then_it_is_let(cluster, stage, executor):
    body = {"apiVersion": "/".join(RESULTS[:2]), "kind": "WorkflowTaskResult", "metadata": {"name": "rlgen-probe"}}

    client.CustomObjectsApi(executor).create_namespaced_custom_object(
        *RESULTS[:2], cluster.namespace, RESULTS[2], body, dry_run="All"
    )

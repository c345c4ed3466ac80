"""The scenario `production`: its S3, PostgreSQL and then MLflow are those of another namespace."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOOK = """
import json, os, socket, sys
from rlgen_k8s.store.open import open_store

def reached(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True

open_store(os.environ["RLGEN_STORE"]).blobs.put_new("test/from-a-pod", b"from a pod")
print(json.dumps({address: reached(address) for address in sys.argv[1:]}))
"""
RUNNING = "--field-selector=status.phase=Running"
CLOSED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}


def image(name):
    return (ROOT / "images/.built" / name).read_text().strip()


def secret(name, values):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def service(name, installation, port):
    return f"rlgen-{name}.{installation.namespace}.svc:{port}"


def external(other, *ports):
    """Settings of the scenario: images of this cluster, the other namespace's services."""
    to = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": other.namespace}}}]
    egress = [{"to": to, "ports": [{"port": port} for port in ports]}]
    return (
        *("--set-json", "imagePullSecrets=[]", "--set", "store.region="),
        *("--set", f"images.stages={image('stages')},images.tracking={image('tracking')}"),
        *("--set", f"store.endpoint=http://{service('minio', other, 9000)},public.store=,public.tracking="),
        *("--set-json", f"networkPolicies.egress={json.dumps(egress)}"),
    )


@pytest.fixture(scope="module")
def production(gpu_box, make_installation):
    """Given the services of another namespace, which let this one in, and two Secrets that say how to use them."""
    installation = make_installation("rlgen-production", "production")
    installation.remove()
    installation.kubectl("create", "namespace", installation.namespace)
    installation.kubectl("create", "--filename", "-", stdin=secret("rlgen-s3", gpu_box.secret("rlgen-store")))
    address = gpu_box.secret("rlgen-postgres")["uri"].replace("rlgen-postgres:5432", service("postgres", gpu_box, 5432))
    installation.kubectl("create", "--filename", "-", stdin=secret("rlgen-database", {"uri": address}))
    guests = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": installation.namespace}}}]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "guests"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": guests}]},
    }
    gpu_box.kubectl("apply", "--filename", "-", stdin=policy)
    installation.install(*external(gpu_box, 9000, 5432))
    yield installation
    installation.remove()
    gpu_box.kubectl("delete", "networkpolicy", "guests")


def components(installation):
    return {pod["metadata"]["labels"].get("app.kubernetes.io/component") for pod in installation.get("pods", RUNNING)}


def node(installation):
    addresses = installation.get("nodes")[0]["status"]["addresses"]
    return next(found["address"] for found in addresses if found["type"] == "InternalIP")


def workflow(installation, addresses):
    data = installation.get("configmap", "rlgen-platform")[0]["data"]
    keys = {"MINIO_ACCESS_KEY": "access-key", "MINIO_SECRET_KEY": "secret-key"}
    references = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": data["store-secret"], "key": key}}}
        for name, key in keys.items()
    ]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "look"},
        "spec": {
            "entrypoint": "look",
            "serviceAccountName": data["service-account"],
            "automountServiceAccountToken": False,
            "executor": {"serviceAccountName": data["executor-service-account"]},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "templates": [
                {
                    "name": "look",
                    "container": {
                        "image": data["image"],
                        "command": ["python", "-c", LOOK, *addresses],
                        "env": [{"name": "RLGEN_STORE", "value": data["store"]}, *references],
                        "securityContext": CLOSED,
                        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                    },
                }
            ],
        },
    }


def test_only_what_is_not_elsewhere_was_installed(production):
    assert components(production) == {"argo-controller", "argo-server", "mlflow"}
    assert [item["metadata"]["name"] for item in production.get("pvc")] == ["rlgen-mlflow"]
    data = production.get("configmap", "rlgen-platform")[0]["data"]
    assert data["store-secret"] == "rlgen-s3"
    assert "rlgen-gpu-box.svc:9000" in data["store"]


def test_its_mlflow_keeps_runs_in_the_database_that_is_elsewhere(production, gpu_box):
    with production.tracking() as tracking:
        experiment = tracking.create_experiment("from-production")
    with gpu_box.tracking() as tracking:
        assert tracking.get_experiment_by_name("from-production").experiment_id == experiment


def test_a_workflow_uses_the_store_that_is_elsewhere_and_reaches_nothing_else(production, gpu_box):
    allowed = service("minio", gpu_box, 9000), service("mlflow", production, 5000)
    refused = service("argo-server", production, 2746), service("mlflow", gpu_box, 5000), f"{node(production)}:10250"
    production.kubectl("create", "--filename", "-", stdin=workflow(production, allowed + refused))
    ended = "--for=jsonpath={.status.conditions[?(@.type=='Completed')].status}=True"
    production.kubectl("wait", ended, "workflow/look", "--timeout=300s")

    status = production.get("workflow", "look")[0]["status"]
    assert status["phase"] == "Succeeded", status
    with gpu_box.store() as store:
        assert store.blobs.read("test/from-a-pod") == b"from a pod"
        client = store.blobs.client
        [log] = [item.object_name for item in client.list_objects("rlgen", "argo/look/", recursive=True)]
        assert json.loads(client.get_object("rlgen", log).read()) == {
            **dict.fromkeys(allowed, True),
            **dict.fromkeys(refused, False),
        }


def test_mlflow_may_be_elsewhere_too(production, gpu_box):
    url = f"http://{service('mlflow', gpu_box, 5000)}"
    production.install(*external(gpu_box, 9000, 5000), "--set", f"mlflow.enabled=false,tracking.url={url}")
    production.kubectl("wait", "--for=delete", "pod", "--selector=app.kubernetes.io/component=mlflow", "--timeout=120s")
    assert components(production) == {"argo-controller", "argo-server"}
    assert production.get("configmap", "rlgen-platform")[0]["data"]["tracking"] == url

import pytest
from minio.error import S3Error


def secrets(installation):
    return {name: installation.secret(name) for name in ("rlgen-store", "rlgen-minio", "rlgen-postgres")}


def volumes(installation):
    return {item["metadata"]["name"]: item["spec"]["volumeName"] for item in installation.get("pvc")}


@pytest.fixture(scope="module")
def run(gpu_box):
    """Given a result in the store, and in MLflow a run with a metric and a file."""
    with gpu_box.store() as store:
        assert store.blobs.put_new("test/survivor", b"still here")
    return gpu_box.keep_run("survivors")


def check(installation, run, tmp_path):
    with installation.store() as store:
        assert store.blobs.read("test/survivor") == b"still here"
    installation.check_run(run, tmp_path)


def install_with_other_requests(installation):
    return installation.install(
        *("--set", "minio.resources.requests.cpu=30m,minio.resources.requests.memory=256Mi"),
        *("--set", "postgres.resources.requests.cpu=30m,mlflow.resources.requests.cpu=30m"),
    )


def test_everything_is_ready(gpu_box):
    pods = gpu_box.get("pods", "--field-selector=status.phase!=Succeeded")
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    assert components == {"argo-controller", "argo-server", "minio", "mlflow", "postgres"}
    for pod in pods:
        assert all(status["ready"] for status in pod["status"]["containerStatuses"]), pod["metadata"]["name"]
    labels = gpu_box.get("namespace", gpu_box.namespace)[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_stages_user_may_use_its_bucket_only(gpu_box):
    with gpu_box.store() as store:
        with pytest.raises(S3Error, match="AccessDenied"):
            store.blobs.client.make_bucket("another")
        with pytest.raises(S3Error, match="AccessDenied"):
            store.blobs.client.set_bucket_policy("rlgen", "{}")


def test_data_survive_an_upgrade_that_restarts_their_servers(gpu_box, run, tmp_path):
    def servers():
        data = "--selector=app.kubernetes.io/component in (minio, mlflow, postgres)"
        return {pod["metadata"]["uid"] for pod in gpu_box.get("pods", data)}

    before, pods = (secrets(gpu_box), volumes(gpu_box)), servers()
    install_with_other_requests(gpu_box)
    assert not pods & servers()
    assert (secrets(gpu_box), volumes(gpu_box)) == before
    check(gpu_box, run, tmp_path)


def test_data_survive_uninstall_and_install_with_new_passwords(gpu_box, run, tmp_path):
    """Uninstalling keeps volumes and Secrets. A new Secret holds for MinIO's user and the database's role too."""
    before = secrets(gpu_box), volumes(gpu_box)
    kept = gpu_box.uninstall()
    assert {"persistentvolumeclaim/rlgen-minio", "secret/rlgen-store"} <= set(kept.split())
    assert not gpu_box.get("pods")
    assert (secrets(gpu_box), volumes(gpu_box)) == before

    gpu_box.kubectl("delete", "secret", "rlgen-store", "rlgen-postgres")
    install_with_other_requests(gpu_box)
    after = secrets(gpu_box)
    assert after["rlgen-minio"] == before[0]["rlgen-minio"]
    assert after["rlgen-store"]["secret-key"] != before[0]["rlgen-store"]["secret-key"]
    assert after["rlgen-postgres"] != before[0]["rlgen-postgres"]
    assert volumes(gpu_box) == before[1]
    check(gpu_box, run, tmp_path)

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
    with gpu_box.tracking() as tracking:
        run = tracking.create_run(tracking.create_experiment("survivors"), run_name="survivor").info.run_id
        tracking.log_metric(run, "accuracy", 0.646)
        tracking.log_text(run, "still here", "note.txt")
    return run


def check(installation, run, tmp_path):
    with installation.store() as store:
        assert store.blobs.read("test/survivor") == b"still here"
    with installation.tracking() as tracking:
        assert tracking.get_run(run).data.metrics == {"accuracy": 0.646}
        downloaded = tmp_path / "downloaded"
        downloaded.mkdir()
        with open(tracking.download_artifacts(run, "note.txt", str(downloaded))) as note:
            assert note.read() == "still here"


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


def test_data_survive_uninstall_and_install(gpu_box, run, tmp_path):
    before = secrets(gpu_box), volumes(gpu_box)
    kept = gpu_box.uninstall()
    assert {"persistentvolumeclaim/rlgen-minio", "secret/rlgen-store"} <= set(kept.split())
    assert not gpu_box.get("pods")
    install_with_other_requests(gpu_box)
    assert (secrets(gpu_box), volumes(gpu_box)) == before
    check(gpu_box, run, tmp_path)


def test_a_lost_password_is_made_anew_and_the_data_stay(gpu_box, run, tmp_path):
    """The Secrets are the truth: MinIO's user and the database's role follow them."""
    before = secrets(gpu_box)
    gpu_box.kubectl("delete", "secret", "rlgen-store", "rlgen-postgres")
    install_with_other_requests(gpu_box)
    gpu_box.kubectl("rollout", "restart", "statefulset/rlgen-postgres", "deployment/rlgen-mlflow")
    gpu_box.kubectl("rollout", "status", "statefulset/rlgen-postgres", "--timeout=300s")
    gpu_box.kubectl("rollout", "status", "deployment/rlgen-mlflow", "--timeout=300s")
    assert secrets(gpu_box)["rlgen-store"]["secret-key"] != before["rlgen-store"]["secret-key"]
    assert secrets(gpu_box)["rlgen-postgres"] != before["rlgen-postgres"]
    check(gpu_box, run, tmp_path)

"""The store's credentials are gone: what submits says so, and what was submitted waits for them and says for which."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import V1ObjectMeta

pytestmark = pytest.mark.timeout(300)
SOON = 180


@pytest.fixture
def no_secret(cluster: Any, platform: Any) -> Iterator[Any]:
    """Take the Secret away for the test. Called, it brings it back."""
    core, namespace, name = cluster.core, cluster.namespace, platform.store_secret
    kept = core.read_namespaced_secret(name, namespace)
    described = {"name": name, "labels": kept.metadata.labels, "annotations": kept.metadata.annotations}
    kept.metadata = V1ObjectMeta(**described)
    core.delete_namespaced_secret(name, namespace)
    away = True

    def back() -> None:
        nonlocal away
        if away:
            core.create_namespaced_secret(namespace, kept)
            away = False

    yield back
    back()


def test_given_no_secret_when_submitted_then_it_is_refused_and_the_doctor_names_it(cluster, platform, no_secret, seed):
    before, name = set(cluster.names()), platform.store_secret

    said = cluster.rlgen("submit", "tiny", "--set", f"seed={seed}", code=2)

    assert f"FAIL objects     missing: Secret {name}" in said
    assert "not submitted" in said
    assert set(cluster.names()) == before
    assert f"FAIL objects     missing: Secret {name}" in cluster.rlgen("doctor", code=2)


def test_given_no_secret_and_no_credentials_of_ones_own_when_submitted_then_one_line_names_it(
    platform, no_secret, start
):
    own = {"MINIO_ACCESS_KEY": "", "MINIO_SECRET_KEY": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}

    submit = start("submit", "tiny", **own)

    said, _ = submit.communicate(timeout=60)
    assert submit.returncode == 2
    assert said.startswith(f"error: Secret {platform.store_secret} in ")
    assert "it does not exist" in said
    assert len(said.splitlines()) == 1


def test_given_a_secret_deleted_after_submission_when_it_is_back_then_the_run_goes_on(
    platform, prepare, no_secret, start
):
    stage = prepare(steps=1)
    stage.create()

    watch = start("watch", stage.name)

    said = next(line for line in watch.stdout if platform.store_secret in line)
    assert f'secret "{platform.store_secret}" not found' in said
    assert said.split()[1:3] == [stage.task, "waits:"], said
    no_secret()
    stage.end()
    rest, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0, rest
    assert [attempt["phase"] for attempt in stage.attempts()] == ["Succeeded"]

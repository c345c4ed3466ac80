"""MinIO gone for a minute, without a word, while stages upload a result, keep resume points, and start."""

import time
from types import SimpleNamespace

import pytest
from tests.cluster.services.counting import LARGE

pytestmark = pytest.mark.timeout(400)
AWAY_SECONDS = 60


@pytest.fixture(scope="module")
def stages(prepare, count, minio):
    """Three stages that lived through the same minute."""
    saving, starting = count(steps=60, pause=1.0), prepare(steps=1)
    uploading = count(steps=3, pause=3.0, size=LARGE)
    pods = {"uploading": uploading.pod(), "saving": saving.pod()}
    attempt = uploading.stand_still(pods["uploading"])
    with minio.away():
        began = time.monotonic()
        uploading.go_on(pods["uploading"])
        starting.create()
        for _ in uploading.lines(pods["uploading"]):
            if time.monotonic() - began > AWAY_SECONDS:
                break
        away = time.monotonic() - began
    for one in (saving, uploading, starting):
        one.end()
    logs = {name: {"saving": saving, "uploading": uploading}[name].log(pod) for name, pod in pods.items()}
    return SimpleNamespace(saving=saving, uploading=uploading, starting=starting, logs=logs, attempt=attempt, away=away)


def published_once(cluster, stage, attempt=None):
    """One attempt's files, whole, and nothing else."""
    store = cluster.store
    manifest = store.manifest(stage.address)
    assert manifest is not None, f"{stage.address}: not published"
    assert store.blobs.children(f"{stage.address}/attempts") == [manifest.attempt]
    assert set(store.blobs.children(stage.address)) == {"attempts", "manifest.json"}
    assert attempt in (None, manifest.attempt)


def test_given_an_upload_when_the_store_is_away_for_a_minute_then_it_waits_and_publishes_once(
    cluster, stages, tmp_path
):
    assert stages.away >= AWAY_SECONDS
    interrupted = [line for line in stages.logs["uploading"].splitlines() if "trying again in" in line]
    assert interrupted and "large.bin" in interrupted[0], stages.logs["uploading"]
    assert len(stages.uploading.attempts()) == 1
    published_once(cluster, stages.uploading, stages.attempt)
    whole = cluster.store.fetch(stages.uploading.address, tmp_path)
    assert (whole / "large.bin").stat().st_size == LARGE


def test_given_a_stage_that_keeps_resume_points_when_the_store_is_away_then_it_waits_and_goes_on(cluster, stages):
    log = stages.logs["saving"]
    assert "trying again in" in log
    assert "published" in log
    assert len(stages.saving.attempts()) == 1
    published_once(cluster, stages.saving)


def test_given_no_store_when_a_stage_starts_then_it_is_tried_again_and_nothing_is_counted_against_it(cluster, stages):
    *lost, last = stages.starting.attempts()
    assert lost
    assert all("not reachable" in attempt["message"] for attempt in lost), lost
    assert not any("failure" in attempt["message"] for attempt in lost), lost
    assert last["phase"] == "Succeeded"
    published_once(cluster, stages.starting)

"""What is half there, or damaged, in the store: nobody takes it for a result, and the next attempt does without it."""

import json

import pytest
from tests.cluster.services.counting import LARGE

from rlgen_k8s.store.errors import StoreError

pytestmark = pytest.mark.timeout(300)


def test_given_an_upload_when_it_is_killed_half_way_then_nothing_is_visible_and_the_next_attempt_cleans_up(
    cluster, count, tmp_path
):
    stage = count(steps=3, pause=3.0, size=LARGE)
    attempt = stage.stand_still(pod := stage.pod())

    stage.suspend(True)
    stage.kill(pod)

    assert cluster.store.blobs.children(f"{stage.address}/attempts/{attempt}") == ["lines"]
    assert cluster.store.manifest(stage.address) is None
    with pytest.raises(StoreError, match="not in the store"):
        cluster.store.fetch(stage.address, tmp_path)
    stage.suspend(False)
    stage.end()
    first, second = stage.attempts()
    assert "exit code 137" in first["message"]
    assert second["phase"] == "Succeeded"
    published = cluster.store.manifest(stage.address)
    assert published.attempt != attempt
    assert cluster.store.blobs.children(f"{stage.address}/attempts") == [published.attempt]


def test_given_a_damaged_newest_resume_point_when_the_stage_is_tried_again_then_it_goes_on_from_the_one_before(
    cluster, count
):
    stage = count(steps=12, pause=1.0)
    stage.counted(4)
    pod = stage.pod()
    stage.suspend(True)
    stage.kill(pod)
    older, newest = damage(cluster.store, stage.address)

    stage.suspend(False)
    again = stage.pod(after=(pod,))

    stage.end()
    log = stage.log(again)
    assert f"resume point {newest} of {stage.address}: file lines: expected" in log
    assert "the point before it" in log
    assert f"{stage.address}: going on from step {older}" in log
    assert len(stage.attempts()) == 2


def damage(store, address):
    """Alter the newest whole point's file; the steps of the point before it and of that one."""
    blobs, root = store.blobs, f"{address}/resume"
    whole = [name for name in blobs.children(root) if "manifest.json" in blobs.children(f"{root}/{name}")]
    steps = [json.loads(blobs.read(f"{root}/{name}/manifest.json"))["step"] for name in whole[-2:]]
    file = f"{root}/{whole[-1]}/files/lines"
    altered = blobs.read(file)[:-1] + b"!"
    blobs.remove(file)
    blobs.put_new(file, altered)
    return steps

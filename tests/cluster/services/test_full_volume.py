"""A stage writes more to its scratch volume than that may hold: the kubelet ends it once it looks."""

import pytest

from rlgen_k8s.study.settings import PodShape

pytestmark = pytest.mark.timeout(400)
SOON = 300


def test_given_a_full_volume_when_the_kubelet_looks_then_the_stage_fails_once_and_the_setting_is_named(cluster, count):
    """The next attempt would fill it, too."""
    work = count(steps=1000, pause=SOON / 1000, shape=PodShape(cpu=0.05, memory=1, disk=0.0005))

    ended = cluster.end(work.name, SOON)

    assert ended["status"]["phase"] == "Failed"
    [attempt] = work.attempts()
    assert 'EmptyDir volume "scratch" exceeds the limit' in attempt["message"]
    said = cluster.rlgen("watch", work.name, code=2)
    assert "exceeds the limit" in said and "raise pods.counting.disk" in said
    assert cluster.store.manifest(work.address) is None

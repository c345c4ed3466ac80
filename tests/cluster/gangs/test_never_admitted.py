"""A gang that came past the checks before submission, and that the queue can never hold."""

import pytest

from rlgen_k8s.study.settings import PodShape

TOO_LARGE = PodShape(cpu=0.1, memory=9, disk=1, nodes=2)
"""The quota of `values/dev.yaml` has 16 GiB."""
IMPATIENT = """
from rlgen_k8s.runners.gang import launcher
launcher.HOPELESS_LOOKS = 3
"""


@pytest.mark.timeout(300)
def test_a_gang_that_the_quota_can_never_hold_ends_by_itself_and_says_what_to_change(gang, cluster):
    work = gang(shape=TOO_LARGE, before=IMPATIENT, steps=3)
    ended = cluster.end(work.name)
    assert ended["status"]["phase"] == "Failed"
    [attempt] = cluster.attempts(work.name, "count")
    said = attempt["message"]
    assert f"gang {work.jobset_name}: can never be admitted" in said, said
    assert "insufficient quota for memory" in said and "> maximum capacity (16Gi)" in said, said
    assert "; ask for less in pods, or for more quota" in said, said
    assert work.jobset() is None

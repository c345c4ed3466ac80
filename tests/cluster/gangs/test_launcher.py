"""A gang, when its launcher, its JobSet or one of its pods is lost."""

import pytest
from tests.cluster.faults.conftest import KILL_ALL

STEPS = 25


@pytest.mark.timeout(400)
def test_a_launcher_that_is_killed_comes_back_and_adopts_what_went_on_meanwhile(gang, cluster):
    work = gang(steps=STEPS, pause=1.0)
    launcher, pods = work.launcher(), [work.pod(rank)["metadata"]["uid"] for rank in (0, 1)]
    jobset = work.jobset()

    cluster.execute(launcher, *KILL_ALL, code=None)

    second = work.launcher(after=(launcher,))
    assert [work.pod(rank)["metadata"]["uid"] for rank in (0, 1)] == pods
    assert work.jobset()["metadata"]["uid"] == jobset["metadata"]["uid"]
    attempts = work.end()
    assert len(attempts) == 2, attempts
    assert f"JobSet {work.jobset_name}: adopted" in cluster.rlgen("logs", "count", work.name), second
    assert work.counted(STEPS)


@pytest.mark.timeout(400)
def test_a_jobset_that_somebody_deletes_is_made_again_and_goes_on(gang, cluster):
    work = gang(steps=STEPS, pause=1.0)
    first = work.pod(0)["metadata"]["uid"]

    work.remove_jobset()

    work.pod(0, after=(first,))
    attempts = work.end()
    assert "deleted before its end, and not by its launcher" in attempts[0]["message"]
    assert len(attempts) == 2
    assert work.counted(STEPS)


@pytest.mark.timeout(400)
def test_a_pod_that_is_lost_ends_the_gang_and_the_next_one_goes_on(gang, cluster):
    work = gang(steps=STEPS, pause=1.0)
    uids = [work.pod(rank)["metadata"]["uid"] for rank in (0, 1)]

    cluster.core.delete_namespaced_pod(work.pod(1)["metadata"]["name"], cluster.namespace)

    again = work.pod(0, after=(uids[0],))["metadata"]["name"]
    assert len(work.end()) == 2
    assert work.counted(STEPS), again


@pytest.mark.timeout(300)
def test_a_workflow_that_is_stopped_leaves_no_jobset(gang, cluster):
    work = gang(steps=1000, pause=1.0)
    work.pod(0)
    cluster.rlgen("stop", work.name)
    assert cluster.end(work.name)["status"]["phase"] == "Failed"
    assert work.jobset() is None


@pytest.mark.timeout(300)
def test_the_log_and_the_progress_of_the_first_pod_are_the_task_s(gang, cluster):
    work = gang(steps=STEPS, pause=0.2)
    [attempt] = work.end()
    assert attempt["progress"] == f"{STEPS}/{STEPS}"
    said = cluster.rlgen("logs", "count", work.name)
    assert "going on from step 0" in said
    assert "node 0: exit code 0" in said and "node 1: exit code 0" in said

"""Two who make the same result, or submit the same work, or submit it again."""

import pytest

pytestmark = pytest.mark.timeout(600)
STEPS, SOON = 20, 480


def test_given_two_workflows_for_one_result_when_both_are_at_it_then_it_is_published_once(given, counting, then):
    first = counting(steps=STEPS, pause=1.0)
    second = given.copied(first)
    first.under_way()
    second.under_way()

    first.task.end(SOON)
    second.task.end(SOON)

    [one], [other] = first.task.attempts(), second.task.attempts()
    assert one["startedAt"] < other["finishedAt"]
    assert other["startedAt"] < one["finishedAt"]
    assert "published" in first.task.log(first.pods[-1])
    assert "published" in second.task.log(second.pods[-1])
    then.counted(first, STEPS)


def test_given_two_who_submit_the_same_at_once_then_one_workflow_makes_it(cluster, seed, start):
    command = ["submit", "tiny", "--set", f"seed={seed}", "--set", "pods.mirror.cpu=0.1", "--until", "mirror"]

    both = [start(*command) for _ in range(2)]

    said = sorted(process.communicate(timeout=120)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    names = {words.partition(": ")[0] for words in said}
    assert len(names) == 1, said
    assert "already running" in said[0]
    assert "submitted" in said[1]
    assert cluster.end(names.pop())["status"]["phase"] == "Succeeded"


def test_given_work_when_its_workflow_is_deleted_and_submitted_again_then_it_goes_on(counting, when, then):
    work = counting(steps=STEPS, pause=1.0)
    work.under_way()

    when.workflow_deleted(work.task.name)
    work.task.create()

    again = work.under_way()
    assert f"{work.task.address}: going on from step" in work.task.log(again)
    work.task.end(SOON)
    then.counted(work, STEPS)

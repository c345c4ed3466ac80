"""Two who make the same result, or submit the same work, or submit it again."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.timeout(300)


def test_given_two_workflows_for_one_result_when_both_train_at_once_then_it_is_published_once(given, undisturbed, then):
    first = given.training()
    second = given.copied(first)

    with ThreadPoolExecutor() as both:
        ended = [both.submit(one.end) for one in (first, second)]
        for each in ended:
            each.result()

    then.overlapped(first, second)
    then.published_once(first)
    then.same_model(first, undisturbed())


def test_given_two_who_submit_the_same_at_once_then_one_workflow_makes_it(cluster, given, start, then):
    settings = given.settings()
    words = [word for setting in settings for word in ("--set", setting)]
    before = set(cluster.names())

    both = [start("submit", "tiny", *words, "--until", "base") for _ in range(2)]

    said = sorted(process.communicate(timeout=120)[0] for process in both)
    assert all(process.returncode == 0 for process in both), said
    [name] = set(cluster.names()) - before
    assert [words.split(": ")[1].split()[0].rstrip(",") for words in said] == ["already", "submitted"]
    training = given.adopted(name, settings)
    training.end()
    then.published_once(training)
    then.tracked(training, "FINISHED")


def test_given_a_training_when_its_workflow_is_deleted_and_submitted_again_then_it_goes_on(
    given, when, undisturbed, then
):
    first = given.training()
    first.under_way()
    submission = first.submission()

    when.workflow_deleted(first.name)
    again = given.submitted(first.settings)

    pod = again.under_way()
    assert f"{again.address}: going on from step" in again.log(pod)
    again.end()
    then.published_once(again)
    then.same_model(again, undisturbed())
    then.tracked(again, "KILLED", "FINISHED")
    assert again.tracking.get_run(submission.info.run_id).info.status == "KILLED"

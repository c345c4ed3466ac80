"""A training that is killed in the middle makes the same model, bit for bit."""

import pytest


@pytest.mark.timeout(600)
def test_given_a_training_when_it_is_killed_in_the_middle_then_its_model_is_that_of_an_undisturbed_one(
    given, when, then
):
    undisturbed, training = given.training(), given.training()

    when.killed(training.under_way())

    then.goes_on(training, "exit code 137")
    training.task.end(480)
    undisturbed.task.end(480)
    then.published_once(training)
    then.same_model(training, undisturbed)
    then.tracked(training, "KILLED", "FINISHED")
    then.tracked(undisturbed, "FINISHED")

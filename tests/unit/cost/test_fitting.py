"""Rates that are fitted to times: to times that the model made itself, so what has to come out is known."""

import pytest

from rlgen_k8s.cost.estimates import estimates
from rlgen_k8s.cost.fitting import fitted, rates
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.against import said
from rlgen_k8s.study.load import load_study


def times(name, *assignments):
    study = load_study(name, list(assignments))
    return {task: 3600 * made.hours for task, made in estimates(study, plan(study)).items()}


def lines(name, took, *assignments):
    study = load_study(name, list(assignments))
    return {line.rate: line for line in fitted(study, plan(study), took)}


@pytest.mark.parametrize(
    ("name", "rate", "value"),
    [
        ("tiny", "core.flops", 1e10),
        ("tiny", "core.crosscoder_flops", 2e11),
        ("tiny", "core.bandwidth", 5e8),
        ("tiny", "core.start", 11),
        ("full-qwen25", "training_utilization", 0.2),
        ("full-qwen25", "decoding_utilization", 0.7),
        ("full-qwen25", "tokenizing_rate", 1e6),
        ("full-qwen25-rehearsal", "startup", 0.01),
    ],
)
def test_a_rate_is_found_again_from_the_times_that_it_made(name, rate, value):
    line = lines(name, times(name, f"cost.{rate}={value}"))[f"cost.{rate}"]
    assert line.fitted == pytest.approx(value, rel=1e-3)
    assert line.now != pytest.approx(value, rel=0.1)


def test_times_as_they_were_expected_leave_every_rate_as_it_is():
    found = lines("tiny", times("tiny"))
    assert len(found) >= 5
    for line in found.values():
        assert line.fitted == pytest.approx(line.now, rel=1e-3)


def test_each_task_tells_of_one_rate_and_what_did_not_run_of_none():
    took = times("tiny")
    told = [task for line in lines("tiny", took).values() for task in line.tasks]
    assert len(told) == len(set(told)) and {"base", "traces", "grpo", "crosscoder-joint"} <= set(told) <= set(took)
    only = lines("tiny", {"crosscoder-joint": 20.0, "report": 5.0})
    assert [line.tasks for line in only.values()] == [("crosscoder-joint",)]


def test_a_time_that_no_value_gives_is_said_to_be_one():
    found = lines("tiny", {"base": 1.0})
    assert found["cost.core.flops"].fitted is None


def test_every_rate_of_the_settings_is_looked_at():
    names = {name for name, _ in rates(load_study("full-qwen25").cost)}
    assert {"training_utilization", "crosscoder_utilization", "decoding_utilization", "startup"} <= names
    assert {"core.flops", "core.crosscoder_flops", "core.bandwidth", "core.layer", "core.start"} <= names
    assert not {"gpu", "prices", "memory_share", "acceptance"} & names


def test_what_metrics_say_of_the_data_is_their_mean_over_shards():
    study = load_study("full-qwen25")
    metrics = {"traces-1": {"acceptance_rate": 0.5}, "traces-3": {"acceptance_rate": 0.8}, "grpo": {"loss": 1.0}}
    (line,) = said(study, plan(study), metrics)
    assert (line.rate, line.now, line.tasks) == ("cost.acceptance", 0.7, ("traces-1", "traces-3"))
    assert line.fitted == pytest.approx(0.65)

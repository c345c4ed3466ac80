"""MLflow gone while one stage starts and ends, while another is in the middle, and before a third ends."""

import time
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.timeout(400)
SHORT, MEDIUM, LONG = 5, 20, 90
NOTICEABLE_SECONDS = 5.0


@pytest.fixture(scope="module")
def stages(count, mlflow):
    """Stages that lived through one absence of MLflow, and one that came before it."""
    before = count(steps=SHORT, pause=1.0)
    before.end()
    middle, end = count(steps=LONG, pause=1.0), count(steps=MEDIUM, pause=1.0)
    middle.counted(3)
    end.counted(3)
    with mlflow.away():
        start = count(steps=SHORT, pause=1.0)
        pods = {"start": start.pod(), "end": end.pod(), "middle": middle.pod()}
        start.says(pods["start"], "kept in the store")
        end.says(pods["end"], "kept in the store")
    back = time.time()
    for one in (start, middle, end):
        one.end()
    return SimpleNamespace(before=before, start=start, middle=middle, end=end, back=back)


STEPS = {"before": SHORT, "start": SHORT, "middle": LONG, "end": MEDIUM}


def run_of(tracking, stage):
    """The only run of a stage that was tried once."""
    experiment = tracking.get_experiment_by_name("counting")
    found = tracking.search_runs([experiment.experiment_id], f"tags.`rlgen.address` = '{stage.address}'")
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("when", STEPS)
def test_given_mlflow_away_when_it_is_back_then_it_has_each_event_of_the_stage_once(cluster, tracking, stages, when):
    stage, steps = getattr(stages, when), STEPS[when]

    run = run_of(tracking, stage)

    points = tracking.get_metric_history(run.info.run_id, "step")
    assert [(point.step, point.value) for point in points] == [(step, float(step)) for step in range(steps)]
    assert len(tracking.get_metric_history(run.info.run_id, "duration_seconds")) == 1
    assert run.info.status == "FINISHED"
    assert run.data.params["steps"] == str(steps)
    parent = tracking.get_run(run.data.tags["mlflow.parentRunId"])
    assert (parent.info.run_name, parent.info.status) == (stage.submission, "FINISHED")
    submissions = tracking.search_runs([run.info.experiment_id], f"tags.`rlgen.writer` = '{stage.submission}'")
    assert len(submissions) == 1
    assert cluster.store.blobs.children(f"_tracking/{stage.submission}") == []


def test_given_mlflow_away_when_it_is_back_then_a_stage_in_the_middle_tells_it_the_rest_itself(tracking, stages):
    assert run_of(tracking, stages.middle).info.end_time > 1000 * stages.back


def test_given_mlflow_away_then_the_stage_is_tried_once_and_is_not_noticeably_slower(tracking, stages):
    def seconds(stage):
        return run_of(tracking, stage).data.metrics["duration_seconds"]

    assert len(stages.start.attempts()) == len(stages.middle.attempts()) == len(stages.end.attempts()) == 1
    assert seconds(stages.start) <= seconds(stages.before) + NOTICEABLE_SECONDS

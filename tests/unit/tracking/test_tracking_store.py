"""A study in MLflow, read back through MLflow's own client from a real SQLite store."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from rlgen_k8s.errors import UserError
from rlgen_k8s.tracking.compare import compare, render_comparison
from rlgen_k8s.tracking.curves import Curve, drawn
from rlgen_k8s.tracking.lineage import Origin, render_tree, walk
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.replay import replay
from rlgen_k8s.tracking.server import serve
from rlgen_k8s.tracking.spool import pending, writers
from rlgen_k8s.tracking.stage_run import open_stage_run
from rlgen_k8s.tracking.submission import open_submission

Environ = dict[str, str]


def everything(environ: Environ) -> list[tuple[Any, ...]]:
    """All that MLflow holds: runs with params, whole metric histories, inputs and outputs; models with metrics."""
    client = MlflowClient(tracking_uri(environ))
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    held: list[tuple[Any, ...]] = []
    for run in map(fresh(client), client.search_runs(ids)):
        history = [
            (point.key, point.timestamp, point.step, str(point.value))
            for name in sorted(run.data.metrics)
            for point in client.get_metric_history(run.info.run_id, name)
        ]
        assert run.inputs is not None
        assert run.outputs is not None
        data = sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs)
        models = sorted(one.model_id for one in run.inputs.model_inputs)
        outputs = sorted((one.step, one.model_id) for one in run.outputs.model_outputs)
        info = (run.info.run_name, run.info.run_id, run.info.status)
        held.append((*info, sorted(run.data.params.items()), history, data, models, outputs))
    for model in client.search_logged_models(ids):
        metrics = sorted((one.key, one.value, one.run_id) for one in model.metrics or [])
        held.append((model.name, model.model_id, str(model.status), sorted(model.tags.items()), metrics))
    return sorted(held, key=str)


def fresh(client: MlflowClient) -> Callable[[Run], Run]:
    return lambda run: client.get_run(run.info.run_id)


def runs_by_name(environ: Environ) -> dict[str, Run]:
    client = MlflowClient(tracking_uri(environ))
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return {
        run.info.run_name: client.get_run(run.info.run_id) for run in client.search_runs([experiment.experiment_id])
    }


def reached(origin: Origin) -> set[str]:
    return {origin.task}.union(*(reached(one) for _, _, one in origin.inputs))


def test_from_the_report_back_to_the_data_is_one_walk(once: Any) -> None:
    report = runs_by_name(once.environ)["report"].data.tags["rlgen.address"]
    origin = walk(report, once.environ)
    makers = {"report", "evaluate-rl", "crosscoder", "stream", "grpo", "base", "problems", "mirror"}
    assert reached(origin) == makers
    crosscoder = next(one for name, _, one in origin.inputs if name == "crosscoder")
    assert {name for name, _, _ in crosscoder.inputs} == {"model-base", "model-rl"}
    text = render_tree(origin)
    assert text.count("└── mirror: mirror/") + text.count("├── mirror: mirror/") >= 2
    assert "/checkpoints/5" in text


def test_runs_hang_together_and_models_carry_their_figures(once: Any) -> None:
    (submission,) = once.submissions
    client = MlflowClient(tracking_uri(once.environ))
    runs = runs_by_name(once.environ)
    parent = runs[submission]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert parent.data.params["grpo.learning_rate"] == "0.001"
    assert parent.data.params["grpo.clip"] == "[0.22, 0.28]"
    assert parent.data.tags["rlgen.node.base"] == "run " + runs["base"].data.tags["rlgen.address"]
    parents = {run.data.tags["mlflow.parentRunId"] for name, run in runs.items() if name != submission}
    assert parents == {parent.info.run_id}
    outputs = runs["grpo"].outputs
    assert outputs is not None
    assert sorted(one.step for one in outputs.model_outputs) == [1, 2, 3, 4, 5]
    last = next(one.model_id for one in outputs.model_outputs if one.step == 5)
    used = [runs[name].inputs for name in ("evaluate-rl", "crosscoder")]
    assert all(one is not None and last in {model.model_id for model in one.model_inputs} for one in used)
    assert [(one.key, one.value) for one in client.get_logged_model(last).metrics or []] == [("sciq", 0.625)]
    inputs = runs["grpo"].inputs
    assert inputs is not None
    assert [(one.dataset.name, one.dataset.digest) for one in inputs.dataset_inputs] == [
        ("problems", runs["problems"].data.tags["rlgen.key"])
    ]
    history = client.get_metric_history(runs["crosscoder"].info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 2.0), (2, 1.0)]


def test_a_submission_s_own_run_has_the_figures_of_its_results_and_of_those_that_were_there(twice: Any) -> None:
    """So MLflow's comparison of two such runs has them beside each other, as it has the settings."""
    figures = {one.name: (one.a, one.b) for one in compare(*twice.submissions, twice.environ).figures}
    a, b = (runs_by_name(twice.environ)[name] for name in twice.submissions)
    assert a.data.params["grpo.learning_rate"] != b.data.params["grpo.learning_rate"]
    assert (a.data.metrics["evaluate-rl.sciq"], b.data.metrics["evaluate-rl.sciq"]) == (0.5, 0.75)
    assert b.data.tags["rlgen.node.problems"].startswith("hit ")
    assert b.data.metrics["problems.count"] == 7.0
    both = {name: (a.data.metrics.get(name), b.data.metrics.get(name)) for name in a.data.metrics}
    assert str(sorted(both.items())) == str(sorted(figures.items()))  # of which one is nan


def test_curves_of_a_task_that_differs_are_drawn_on_one_scale_and_others_are_not(twice: Any) -> None:
    comparison = compare(*twice.submissions, twice.environ)
    assert [(one.name, one.a, one.b) for one in comparison.curves] == [
        ("crosscoder.loss", ((0, 3.0), (1, 2.0), (2, 1.0)), ((0, 3.0), (1, 2.0), (2, 1.0)))
    ]
    row = next(line for line in reversed(render_comparison(comparison).splitlines()) if "crosscoder.loss" in line)
    assert row.count("3 █      ▅       ▁ 1") == 2, row
    longer = Curve("grpo.reward", ((1, 0.0), (2, 2.0)), ((1, 1.0), (3, 4.0)))
    assert drawn(longer) == ("0 ▁      ▅         2", "1 ▃              █ 4")
    assert drawn(Curve("grpo.reward", (), ((5, 1.0),))) == ("–", "1 ▁                1")


def test_each_model_of_several_in_one_result_carries_its_own_figures(once: Any) -> None:
    client = MlflowClient(tracking_uri(once.environ))
    runs = runs_by_name(once.environ)
    made = runs["stream"].outputs
    assert made is not None
    found = [client.get_logged_model(one.model_id) for one in made.model_outputs]
    models = {model.tags["rlgen.address"].split("/")[-1]: model for model in found}
    figures = {name: [(one.key, one.value) for one in model.metrics or []] for name, model in models.items()}
    assert figures == {"one": [("one/l0", 1.0)], "two": [("two/l0", 2.0)]}
    read = runs["report"].inputs
    assert read is not None
    assert models["two"].model_id in {one.model_id for one in read.model_inputs}


def test_events_sent_twice_count_once(environ: Environ, submit: Callable[..., str], tmp_path: Path) -> None:
    submit()
    folder, uri = spool_folder(environ), tracking_uri(environ)
    shutil.copytree(folder, tmp_path / "again")
    replay(folder, uri)
    assert pending(folder) == 0
    assert writers(folder) == []
    once = everything(environ)
    for path in (tmp_path / "again").glob("*.jsonl"):
        shutil.copy(path, folder)
    assert pending(folder) > 20
    replay(folder, uri)
    assert pending(folder) == 0
    assert everything(environ) == once


def test_a_stage_that_was_there_has_one_run_and_counts_in_both_submissions(twice: Any) -> None:
    environ, (first, second) = twice.environ, twice.submissions
    comparison = compare(first, second, environ)
    assert [(one.name, one.a, one.b) for one in comparison.settings] == [("grpo.learning_rate", "0.001", "0.01")]
    figures = {one.name: (one.a, one.b) for one in comparison.figures}
    assert figures["evaluate-rl.sciq"] == (0.5, 0.75)
    assert figures["crosscoder.loss"] == (1.0, 1.0)
    text = render_comparison(comparison)
    assert "evaluate-rl.sciq" in text
    assert "+0.25" in text
    client = MlflowClient(tracking_uri(environ))
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    mirrors = client.search_runs([experiment.experiment_id], "tags.`rlgen.task` = 'mirror'")
    assert len(mirrors) == 1
    assert compare("small", second, environ).a == second


def test_names_and_lengths_that_mlflow_refuses_are_mended(environ: Environ) -> None:
    settings = {"text": "x" * 7000, **{f"field{number}": number for number in range(250)}}
    submission = open_submission("small", settings, [], environ)
    inside = environ | {"RLGEN_SUBMISSION": submission.id}
    run = open_stage_run("problems", "problems", "0" * 32, {}, {}, inside)
    run.log({"math500/avg@3": 0.5, "/val//größe (%)": 1.0, "plain": 2.0}, None)
    for step in range(1500):
        run.log({"curve": float(step)}, step)
    run.finish("done")
    submission.finish("done")
    replay(spool_folder(environ), tracking_uri(environ))
    runs = runs_by_name(environ)
    assert len(runs[submission.id].data.params) == 251
    assert runs[submission.id].data.params["text"] == "x" * 6000
    metrics = runs["problems"].data.metrics
    assert metrics == {"math500/avg_3": 0.5, "val/gr__e ___": 1.0, "plain": 2.0, "curve": 1499.0}
    history = MlflowClient(tracking_uri(environ)).get_metric_history(runs["problems"].info.run_id, "curve")
    assert sorted(point.step for point in history) == list(range(1500))


def test_a_submission_that_is_unknown_or_ambiguous_is_named(twice: Any) -> None:
    environ, (first, second) = twice.environ, twice.submissions
    with pytest.raises(UserError, match=r"submission smal: 2 begin so; give one of .*" + first):
        compare("smal", second, environ)
    with pytest.raises(UserError, match="submission other: not in this MLflow; the newest are " + second):
        compare("other", second, environ)
    with pytest.raises(UserError, match="not a name"):
        compare("x' OR '1'='1", second, environ)


def test_a_result_that_mlflow_has_no_run_for_ends_the_walk_and_says_so(environ: Environ) -> None:
    origin = walk("report/" + "0" * 32, environ)
    assert origin.run_id is None
    assert "no run in this MLflow" in render_tree(origin)


def test_an_mlflow_that_does_not_answer_is_one_line(environ: Environ) -> None:
    with pytest.raises(UserError, match=r"MLflow at http://127.0.0.1:9: does not answer"):
        walk("report/" + "0" * 32, environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})


def test_a_port_in_use_is_named(environ: Environ) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: cannot be used .*names its holder"):
            serve(port, environ)

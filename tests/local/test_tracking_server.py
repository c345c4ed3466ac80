"""Tracking against a real MLflow server that comes and goes, and writers that are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from rlgen_k8s.store.files import FileEntry
from rlgen_k8s.store.manifest import Identity, Manifest, Provenance
from rlgen_k8s.tracking.events import Node
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.reading import reading
from rlgen_k8s.tracking.recorder import start_recorder
from rlgen_k8s.tracking.spool import pending, writers
from rlgen_k8s.tracking.stage_run import StageRun, open_stage_run
from rlgen_k8s.tracking.submission import Submission, open_submission

STEPS = 40


BASE, PROBLEMS = "model/" + "cd" * 16, "problems/" + "ef" * 16


def manifest(stage: str) -> Manifest:
    """Two checkpoints, published."""
    identity = Identity(stage=stage, version=1, settings={}, inputs={})
    now = datetime.now(UTC)
    return Manifest(
        address=identity.address,
        identity=identity,
        attempt="1",
        files=tuple(FileEntry(path=f"checkpoints/{k}/config.json", size=1, sha256="0" * 64) for k in (1, 2)),
        started=now,
        finished=now,
        provenance=Provenance(code="0", packages={}, image=""),
    )


def opened(environ: Mapping[str, str], task: str = "sft", study: str = "served") -> tuple[Submission, StageRun]:
    submission = open_submission(study, {"seed": 1}, [], environ)
    inside = {**environ, "RLGEN_SUBMISSION": submission.id}
    return submission, open_stage_run(
        task, task, "ab" * 16, {"learning_rate": 1e-3}, {"base": BASE, "problems": PROBLEMS}, inside
    )


def runs(environ: Mapping[str, str], task: str) -> list[Run]:
    """The runs of a task, oldest first, by MLflow's own client."""
    client = MlflowClient(tracking_uri(environ))
    experiment = client.get_experiment_by_name("served")
    assert experiment is not None
    query = f"tags.`rlgen.task` = '{task}'"
    return list(client.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"]))


def steps(environ: Mapping[str, str], run: Run, name: str) -> list[int]:
    return sorted(point.step for point in MlflowClient(tracking_uri(environ)).get_metric_history(run.info.run_id, name))


def test_mlflow_down_at_the_start_in_the_middle_and_at_the_end_loses_and_doubles_nothing(
    server: Any, tmp_path: Path
) -> None:
    environ = {**os.environ, "RLGEN_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri}

    # Down from the start: the stage and the runner notice nothing but a line at the end.
    recorder = start_recorder(environ)
    submission, run = opened(environ)
    for step in range(STEPS):
        run.log({"reward": float(step)}, step)
    run.finish("done")
    submission.finish("done")
    left = recorder.stop()
    assert left is not None
    assert f"MLflow at {server.uri} did not take {STEPS + 4} events" in left

    # Up for the next submission, which brings the first one's events; killed in the middle of it.
    server.start()
    recorder = start_recorder(environ)
    submission, run = opened(environ)
    deadline = time.monotonic() + 60
    while pending(spool_folder(environ)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for step in range(200):
        run.log({"reward": float(step)}, step)
        time.sleep(0.01)
        if step == 100:
            server.stop(signal.SIGTERM)
    server.start()
    run.log({"reward": 200.0}, 200)
    run.log({"final": 0.5}, None)

    # Down at the end, up once more later.
    server.stop(signal.SIGTERM)
    run.finish("done", manifest("sft"))
    submission.finish("done")
    assert recorder.stop() is not None
    server.start()
    with reading(environ):
        pass
    assert pending(spool_folder(environ)) == 0
    assert writers(spool_folder(environ)) == []
    first, second = runs(environ, "sft")
    assert [first.info.status, second.info.status] == ["FINISHED", "FINISHED"]
    assert steps(environ, first, "reward") == list(range(STEPS))
    assert steps(environ, second, "reward") == list(range(201))
    for one in (first, second):
        assert one.data.params["learning_rate"] == "0.001"
    client = MlflowClient(server.uri)
    whole = client.get_run(second.info.run_id)
    assert whole.inputs is not None
    assert whole.outputs is not None
    assert [one.dataset.digest for one in whole.inputs.dataset_inputs] == [PROBLEMS.split("/")[1]]
    (base,) = [client.get_logged_model(one.model_id) for one in whole.inputs.model_inputs]
    assert base.tags["rlgen.address"] == BASE
    models = [
        client.get_logged_model(one.model_id) for one in sorted(whole.outputs.model_outputs, key=lambda o: o.step)
    ]
    assert [model.name for model in models] == ["sft-1", "sft-2"]
    assert [[(one.key, one.value) for one in model.metrics or []] for model in models] == [[], [("final", 0.5)]]


def test_mlflow_s_own_pages_have_two_submissions_settings_and_figures_and_two_attempts_curves(
    server: Any, tmp_path: Path
) -> None:
    """By the addresses that its pages for comparing runs ask."""
    environ = {**os.environ, "RLGEN_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri}
    server.start()
    recorder = start_recorder(environ)
    for seed, rewards in ((1, (0.1, 0.2, 0.4)), (2, (0.1, 0.3, 0.9))):
        key = f"{seed:032d}"
        plan = [Node(task="sft", address=f"sft/{key}", verdict="run")]
        submission = open_submission("served", {"seed": seed}, plan, environ)
        inside = {**environ, "RLGEN_SUBMISSION": submission.id}
        run = open_stage_run("sft", "sft", key, {"seed": seed}, {"base": BASE, "problems": PROBLEMS}, inside)
        for step, reward in enumerate(rewards):
            run.log({"reward": reward}, step)
        run.finish("done", manifest("sft"))
        submission.finish("done")
    assert recorder.stop() is None

    def page(address: str, **parameters: Any) -> Any:
        query = urllib.parse.urlencode(parameters, doseq=True)
        with urllib.request.urlopen(f"{server.uri}/ajax-api/2.0/mlflow/{address}?{query}", timeout=30) as answer:
            return json.load(answer)

    trained = runs(environ, "sft")
    parents = [page("runs/get", run_id=run.data.tags["mlflow.parentRunId"])["run"]["data"] for run in trained]
    assert [[(one["key"], one["value"]) for one in run["params"]] for run in parents] == [
        [("seed", "1")],
        [("seed", "2")],
    ]
    assert [{one["key"]: one["value"] for one in run["metrics"]}["sft.reward"] for run in parents] == [0.4, 0.9]
    ids = [run.info.run_id for run in trained]
    curves = page("metrics/get-history-bulk-interval", run_ids=ids, metric_key="reward", max_results=100)["metrics"]
    values = [[one["value"] for one in curves if one["run_id"] == run] for run in ids]
    assert values == [[0.1, 0.2, 0.4], [0.1, 0.3, 0.9]]


def test_a_runner_killed_leaves_no_recorder_and_its_runs_are_killed(tmp_path: Path) -> None:
    environ = {**os.environ, "RLGEN_HOME": str(tmp_path / "home")}
    runner = (
        "import os, time; from rlgen_k8s.tracking.recorder import start_recorder;"
        "from rlgen_k8s.tracking.submission import open_submission;"
        "from rlgen_k8s.tracking.stage_run import open_stage_run;"
        "recorder = start_recorder(os.environ); submission = open_submission('served', {}, [], os.environ);"
        "inside = {**os.environ, 'RLGEN_SUBMISSION': submission.id};"
        "run = open_stage_run('problems', 'problems', 'ab' * 16, {}, {}, inside);"
        "run.log({'kept': 1.0}, 1); print(recorder.process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", runner], env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        recorder = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{recorder}/cmdline").exists() and Path(f"/proc/{recorder}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the recorder outlives its runner"
        time.sleep(0.2)
    (stage,) = runs(environ, "problems")
    assert stage.info.status == "KILLED"
    assert stage.data.metrics == {"kept": 1.0}
    parent = MlflowClient(tracking_uri(environ)).get_run(stage.data.tags["mlflow.parentRunId"])
    assert parent.info.status == "KILLED"


def test_two_runners_and_a_recorder_killed_on_a_new_database(tmp_path: Path) -> None:
    environ = {**os.environ, "RLGEN_HOME": str(tmp_path / "home")}
    recorders = [start_recorder(environ) for _ in range(3)]
    tasks = ("sft", "problems")
    work = [opened(environ, task) for task in tasks]
    for task, (submission, run) in zip(tasks, work, strict=True):
        for step in range(STEPS):
            run.log({"reward": float(step)}, step)
            time.sleep(0.05)
        if task == "sft":
            deadline = time.monotonic() + 60
            while not list(spool_folder(environ).glob("template*")):
                assert time.monotonic() < deadline, "no recorder began"
                time.sleep(0.05)
            recorders[0].process.kill()  # it may hold the lock, and be in the middle of a call
        run.finish("done")
        submission.finish("done")
    assert [recorder.stop() for recorder in recorders[1:]] == [None, None]
    for task in tasks:
        (stage,) = runs(environ, task)
        assert stage.info.status == "FINISHED"
        assert steps(environ, stage, "reward") == list(range(STEPS))


def test_the_server_ends_cleanly_on_ctrl_c(server: Any) -> None:
    server.start()
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    assert len(children) == 1
    assert server.stop(signal.SIGINT) == 0
    assert not server.answers()
    assert not Path(f"/proc/{children[0]}").exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", server.port))

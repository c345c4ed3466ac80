"""Stages as pods, each with a recorder of its own, against a real MLflow server that comes and goes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from rlgen_k8s.store.keys import stage_key
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store

COMMAND = [sys.executable, str(Path(__file__).parents[1] / "unit/frame/counting_stage.py")]
SETTINGS = {"steps": 5, "pause": 0.2, "ending": "done", "helper": False, "size": 0, "state_size": 0}
SUBMISSION = "served-20260131-120000"
LONGEST = 60.0
"""Seconds for a stage of one second whose MLflow is down, on a machine that is busy."""


class Pods:
    """Pods that share a store, as one submission's do."""

    def __init__(self, root: Path, uri: str) -> None:
        self.root = root
        self.store: Store = open_store(str(root / "store"))
        self.uri = uri

    def environ(self, name: str) -> dict[str, str]:
        own = {
            "RLGEN_STORE": str(self.root / "store"),
            "RLGEN_SCRATCH": str(self.root / name),
            "RLGEN_HOME": str(self.root / name / "home"),
            "RLGEN_SUBMISSION": SUBMISSION,
            "RLGEN_POD": name,
            "MLFLOW_TRACKING_URI": self.uri,
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RLGEN_", "MLFLOW_"))}
        return inherited | own

    def start(self, task: str, **changes: Any) -> "subprocess.Popen[str]":
        settings = SETTINGS | changes
        key = stage_key("counting", 1, settings, {})
        arguments = [f"--name={task}", "--stage=counting", f"--key={key}", f"--settings={json.dumps(settings)}"]
        return subprocess.Popen(
            [*COMMAND, *arguments, "--inputs={}"], env=self.environ(task), stdout=subprocess.PIPE, text=True
        )

    def close(self, status: str) -> str:
        command = [sys.executable, "-m", "rlgen_k8s.tracking.close", f"--status={status}"]
        environ = self.environ("close")
        return subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout

    def kept(self) -> list[str]:
        return self.store.blobs.children(f"_tracking/{SUBMISSION}/spool")


def test_stages_are_unharmed_by_an_mlflow_that_is_down_and_nothing_is_lost_or_told_twice(
    server: Any, tmp_path: Path
) -> None:
    pods = Pods(tmp_path, server.uri)
    began = time.monotonic()
    down = pods.start("down")
    down.communicate(timeout=120)
    assert down.returncode == 0
    assert time.monotonic() - began < LONGEST
    assert len(pods.kept()) == 1

    server.start()
    up = pods.start("up", steps=6)
    up.communicate(timeout=120)
    assert up.returncode == 0
    assert len(pods.kept()) == 1, "what MLflow took is not kept"

    breaks = pods.start("breaks", steps=40)
    client = MlflowClient(server.uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "served"]
    until = time.monotonic() + 60
    while not client.search_runs([experiment.experiment_id], "tags.`rlgen.task` = 'breaks'"):
        assert time.monotonic() < until, "no run of a stage that is at work"
        time.sleep(0.1)
    server.stop(signal.SIGTERM)
    breaks.communicate(timeout=120)
    assert breaks.returncode == 0
    assert len(pods.kept()) == 2

    server.start()
    killed = pods.start("killed", steps=1000)
    while not client.search_runs([experiment.experiment_id], "tags.`rlgen.task` = 'killed'"):
        assert time.monotonic() < until + 60, "no run of a stage that is at work"
        time.sleep(0.1)
    for process in (killed.pid, *_children(killed.pid)):  # as with a pod, all of it
        os.kill(process, signal.SIGKILL)
    killed.communicate(timeout=60)

    assert pods.close("Failed") == "tracking: ended\n"
    assert SUBMISSION not in pods.store.blobs.children("_tracking")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    ended = {name: run.info.status for name, run in runs.items()}
    finished = dict.fromkeys(("down", "up", "breaks"), "FINISHED")
    assert ended == {SUBMISSION: "FAILED", "killed": "KILLED", **finished}
    for name, steps in (("down", 5), ("up", 6), ("breaks", 40)):
        history = client.get_metric_history(runs[name].info.run_id, "step")
        assert sorted(point.step for point in history) == list(range(steps))
        assert runs[name].data.metrics["duration_seconds"] > 0.2 * steps
        assert runs[name].data.tags["mlflow.parentRunId"] == runs[SUBMISSION].info.run_id


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]

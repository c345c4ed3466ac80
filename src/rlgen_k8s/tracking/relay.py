"""Relays: what LLaMA-Factory and verl log by themselves, kept beside the spool and carried to the attempt's run.

A trainer's MLflow logger raises when its MLflow goes away. So it gets a SQLite store of its own, which no network and
no other writer can take away, and its params (as `trainer.<name>`) and curves are copied from there, while it runs and
at the end.
"""

import json
from pathlib import Path

from mlflow import MlflowClient

from rlgen_k8s.tracking.events import StageOpened
from rlgen_k8s.tracking.mlflow_store import Tracking, fresh_database, run_id
from rlgen_k8s.tracking.record import log_metrics, log_params
from rlgen_k8s.tracking.spool import first, writers


def make_missing(folder: Path) -> None:
    """Make the relay of each attempt that wants one and has none; its environment goes to `<writer>.relay.json`."""
    for writer in writers(folder):
        ready = folder / f"{writer}.relay.json"
        opened = first(folder, writer)
        if not isinstance(opened, StageOpened) or not opened.own_curves or ready.exists():
            continue
        database = folder / f"{writer}.relay.db"
        fresh_database(database, folder)
        client = MlflowClient(tracking_uri=f"sqlite:///{database}")
        experiment = client.create_experiment(opened.task, (folder / f"{writer}.relay.artifacts").as_uri())
        run = client.create_run(experiment, run_name=opened.task)
        partial = folder / f"{writer}.relay.partial"
        variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{database}", "MLFLOW_RUN_ID": run.info.run_id}
        partial.write_text(json.dumps(variables))
        partial.rename(ready)


def carry(tracking: Tracking, folder: Path, writer: str, run: str, since: int) -> int:
    """Copy a relay's points from the time `since` (ms) on to `run`; returns the time of the newest.

    Since 0 takes all, the params too. A point that is there already stays one.
    """
    ready = folder / f"{writer}.relay.json"
    if not ready.exists():
        return since
    variables = json.loads(ready.read_text())
    client = MlflowClient(tracking_uri=variables["MLFLOW_TRACKING_URI"])
    source = client.get_run(variables["MLFLOW_RUN_ID"])
    if not since:
        log_params(tracking, run, {f"trainer.{name}": value for name, value in source.data.params.items()})
    points = [
        point
        for name in source.data.metrics
        for point in client.get_metric_history(source.info.run_id, name)
        if point.timestamp >= since
    ]
    log_metrics(tracking, run, points)
    return max([since, *(point.timestamp for point in points)])


def carry_all(tracking: Tracking, folder: Path, carried: dict[str, int]) -> None:
    """`carry` for each attempt under way; `carried` remembers how far each one is."""
    for writer in writers(folder):
        if (folder / f"{writer}.relay.json").exists() and (run := run_id(tracking, writer)):
            carried[writer] = carry(tracking, folder, writer, run, carried.get(writer, 0))

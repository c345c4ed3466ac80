"""MLflow as tracking uses it: experiments, runs and models found by tags of our own, made where they are absent.

Every call is explicit (`MlflowClient` with its URI): the fluent API keeps a current run for the process, and records a
model that metrics are logged for as the run's *input*, which would make a cycle of a model and the run it came from.
"""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment, LoggedModel, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.version import VERSION

from rlgen_k8s.store.keys import split_address
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import handover


@dataclass
class Tracking:
    """A connection to one MLflow, with what was found there already."""

    client: MlflowClient
    artifacts: Path | None
    """Where artifacts go, for a store without a server of its own."""
    uri: str = ""
    shared: Store | None = None
    """Where recorders in several pods agree on what one of them made; None where there is one recorder only."""
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)


def connect(uri: str, template_folder: Path, shared: Store | None = None) -> Tracking:
    """Connect to the MLflow at `uri`; a SQLite file that is absent is made first, as `fresh_database` does."""
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        fresh_database(database, template_folder)
    artifacts = database.parent / "mlartifacts" if database else None
    return Tracking(MlflowClient(tracking_uri=uri), artifacts, uri, shared)


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///` URI, or None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def fresh_database(database: Path, template_folder: Path) -> None:
    """Make an empty MLflow database by copying a template, which is made once for a version of MLflow.

    MLflow's migrations take seconds, and two processes that run them on one file break each other. The journal is a
    write-ahead log, in which readers and a writer do not wait for each other. The caller holds the spool's lock.
    """
    template = template_folder / f"template-{VERSION}.db"
    if not template.exists():
        partial = template_folder / "template.partial"
        partial.unlink(missing_ok=True)
        MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments()
        partial.rename(template)
    database.parent.mkdir(parents=True, exist_ok=True)
    copy = database.with_name(database.name + ".partial")
    shutil.copyfile(template, copy)
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    copy.rename(database)


def experiment_id(tracking: Tracking, study: str) -> str:
    """The study's experiment, made or restored where it has to be."""
    if study not in tracking.experiments:
        experiment = tracking.client.get_experiment_by_name(study) or _create_experiment(tracking, study)
        if experiment.lifecycle_stage == "deleted":
            tracking.client.restore_experiment(experiment.experiment_id)
        tracking.experiments[study] = experiment.experiment_id
    return tracking.experiments[study]


def _create_experiment(tracking: Tracking, study: str) -> Experiment:
    location = (tracking.artifacts / study).as_uri() if tracking.artifacts else None
    try:
        identity = tracking.client.create_experiment(study, artifact_location=location)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
        experiment = tracking.client.get_experiment_by_name(study)  # another machine was first
        assert experiment is not None
        return experiment
    return tracking.client.get_experiment(identity)


def all_experiments(tracking: Tracking) -> list[str]:
    """The ids of all experiments."""
    return [experiment.experiment_id for experiment in tracking.client.search_experiments()]


def find_runs(tracking: Tracking, experiments: list[str] | None = None, **tags: str) -> list[Run]:
    """Runs of these experiments (None: all) with these tags (`rlgen.` is put before each name), newest first."""
    query = " and ".join(f"tags.`rlgen.{name}` = '{value}'" for name, value in tags.items())
    where = all_experiments(tracking) if experiments is None else experiments
    return list(tracking.client.search_runs(where, query, order_by=["attributes.start_time DESC"]))


def run_id(tracking: Tracking, writer: str) -> str | None:
    """The run that a writer's events belong to."""
    if writer not in tracking.runs:
        found = find_runs(tracking, writer=writer)
        if not found:
            return None
        tracking.runs[writer] = found[0].info.run_id
    return tracking.runs[writer]


def producer(tracking: Tracking, address: str, experiments: list[str] | None = None) -> Run | None:
    """The newest finished run that published this result (`stage/key`), without its model inputs."""
    runs = find_runs(tracking, experiments, address=address)
    return next((run for run in runs if run.info.status == "FINISHED"), None)


def find_model(tracking: Tracking, address: str) -> LoggedModel | None:
    """The LoggedModel with this address, of any study."""
    found = tracking.client.search_logged_models(
        all_experiments(tracking), filter_string=f"tags.`rlgen.address` = '{address}'", max_results=1
    )
    return found[0] if found else None


def model_id(tracking: Tracking, address: str, study: str, name: str = "", source_run: str | None = None) -> str:
    """The LoggedModel with this address, registered as an external one (its weights are in our store) if it is new."""
    if address not in tracking.models:

        def create() -> LoggedModel:
            return _create_model(tracking, address, study, name, source_run)

        if tracking.shared is None:
            model = find_model(tracking, address) or create()
        else:
            model = _agreed_model(tracking, tracking.shared, address, create)
        if model.status != LoggedModelStatus.READY:
            tracking.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        tracking.models[address] = model.model_id
    return tracking.models[address]


def _create_model(tracking: Tracking, address: str, study: str, name: str, source_run: str | None) -> LoggedModel:
    result, sub = split_address(address)
    stage, key = result.split("/")
    return tracking.client.create_logged_model(
        experiment_id(tracking, study),
        name=name or "-".join(filter(None, [stage, key[:8], sub.split("/")[-1]])),
        source_run_id=source_run,
        model_type=stage,
        tags={"rlgen.address": address, "rlgen.key": key, "mlflow.model.isExternal": "true"},
    )


def _agreed_model(tracking: Tracking, shared: Store, address: str, create: Callable[[], LoggedModel]) -> LoggedModel:
    """The model that all recorders use: the first that one of them named, unless MLflow has lost it since."""

    def find() -> str | None:
        found = find_model(tracking, address)
        return None if found is None else found.model_id

    def make() -> str:
        return create().model_id

    name = handover.model_name(tracking.uri, address)
    chosen = handover.agreed(shared, name, find, make, tracking.client.delete_logged_model).value
    try:
        return tracking.client.get_logged_model(chosen)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
    shared.blobs.remove(name)
    return _agreed_model(tracking, shared, address, create)

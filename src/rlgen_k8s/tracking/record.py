"""Each event as MLflow calls. All of them may be repeated without a second effect: what is there is not made again."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
)

from rlgen_k8s.store.keys import address_of, split_address
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking.events import Event, Finished, Logged, StageOpened, SubmissionOpened
from rlgen_k8s.tracking.handover import agreed, announced, run_name
from rlgen_k8s.tracking.mlflow_store import Tracking, all_experiments, experiment_id, find_runs, model_id, run_id
from rlgen_k8s.tracking.submission import study_of

STATUS = {"done": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
MESSAGE = "rlgen.message"
"""Tag of an attempt's run: how it ended, in words."""
WHOLE_MODELS = ("model", "crosscoder")
"""Stages whose result is a model; those of sft and grpo hold one in each folder of `checkpoints/`."""
CHECKPOINTED = ("sft", "grpo")
OF_SEVERAL = "stream"
"""The stage whose result holds models by name, a folder each; their figures are called `<name>/<figure>`."""
LONGEST_VALUE = 6000
LONGEST_KEY = 250
T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Pieces of at most `size`: MLflow takes 100 params or tags and 1000 metrics in a call."""
    return (items[start : start + size] for start in range(0, len(items), size))


def clean(name: str) -> str:
    """A name as MLflow takes it: `avg@3` becomes `avg_3`."""
    return re.sub("/+", "/", re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)).strip("/")[:LONGEST_KEY]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `a.b.c` → text; lists stay one value."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def log_params(tracking: Tracking, run: str, params: Mapping[str, str]) -> None:
    """Log params, with names and lengths that MLflow takes."""
    entities = [Param(clean(name), value[:LONGEST_VALUE]) for name, value in params.items()]
    for some in chunks(entities, 100):
        tracking.client.log_batch(run, params=some)


def log_metrics(tracking: Tracking, run: str, metrics: Iterable[Metric]) -> None:
    """Log points; one that is there already (same name, time, step and value) stays one."""
    for some in chunks(list(metrics), 1000):
        tracking.client.log_batch(run, metrics=some)


def points(events: Iterable[Logged]) -> list[Metric]:
    """The events' metrics as MLflow's; a final figure has step 0."""
    return [
        Metric(clean(name), value, event.at, event.step or 0)
        for event in events
        for name, value in event.metrics.items()
    ]


def open_submission_run(tracking: Tracking, event: SubmissionOpened) -> None:
    """The parent run: settings as params, the plan's nodes as tags."""
    run = submission_run(tracking, event.submission, event.at)
    log_params(tracking, run, flatten(event.settings))
    tags = {f"rlgen.node.{node.task}": f"{node.verdict} {node.address}" for node in event.nodes} | event.tags
    for some in chunks([RunTag(name, value) for name, value in tags.items()], 100):
        tracking.client.log_batch(run, tags=some)


def submission_run(tracking: Tracking, submission: str, at: int) -> str:
    """The submission's run. In a pod its first event may come from a stage, so it is made here by whoever is first."""

    def create() -> str:
        study = study_of(submission)
        tags = {"rlgen.writer": submission, "rlgen.submission": submission, "rlgen.study": study}
        run = tracking.client.create_run(experiment_id(tracking, study), at, tags, run_name=submission)
        return str(run.info.run_id)

    if tracking.shared is None:
        return run_id(tracking, submission) or tracking.runs.setdefault(submission, create())
    if submission not in tracking.runs:

        def find() -> str | None:
            found = find_runs(tracking, writer=submission)
            return str(found[0].info.run_id) if found else None

        run, ours = agreed(tracking.shared, run_name(submission), find, create, tracking.client.delete_run)
        tracking.runs[submission] = run
        if ours:  # one describes it: MLflow takes a param from one at a time
            describe_submission(tracking, tracking.shared, submission)
    return tracking.runs[submission]


def describe_submission(tracking: Tracking, shared: Store, submission: str) -> None:
    """Give the submission's run what was announced of it, unless it has that already."""
    run = tracking.client.get_run(tracking.runs[submission])
    event = announced(shared, submission)
    if isinstance(event, SubmissionOpened) and not run.data.params:
        open_submission_run(tracking, event)


def open_run(tracking: Tracking, writer: str, event: StageOpened) -> None:
    """The run of an attempt, with its settings and inputs."""
    study = study_of(event.submission)
    run = run_id(tracking, writer)
    if run is None:
        parent = submission_run(tracking, event.submission, event.at)
        end_runs(tracking, running_attempts(tracking, parent, event.task), event.at)
        tags = {
            "mlflow.parentRunId": parent,
            "rlgen.writer": writer,
            "rlgen.task": event.task,
            "rlgen.stage": event.stage,
            "rlgen.key": event.key,
            "rlgen.address": address_of(event.stage, event.key),
            **{f"rlgen.input.{name}": address for name, address in event.inputs.items()},
            **event.tags,
        }
        created = tracking.client.create_run(experiment_id(tracking, study), event.at, tags, run_name=event.task)
        run = tracking.runs[writer] = created.info.run_id
    log_params(tracking, run, flatten(event.settings))
    log_inputs(tracking, run, event.inputs, study)


def attempts(tracking: Tracking, parent: str, condition: str = "") -> list[Run]:
    """Runs below a submission's, of those that fulfil MLflow's `condition`."""
    query = f"tags.`mlflow.parentRunId` = '{parent}'{condition and f' and {condition}'}"
    return list(tracking.client.search_runs(all_experiments(tracking), query))


def running_attempts(tracking: Tracking, parent: str, task: str = "") -> list[str]:
    """Runs below a submission's (of one task, if named) that nobody has ended."""
    of_task = f" and tags.`rlgen.task` = '{task}'" if task else ""
    return [run.info.run_id for run in attempts(tracking, parent, f"attributes.status = 'RUNNING'{of_task}")]


def end_runs(tracking: Tracking, runs: Iterable[str], at: int) -> None:
    """Mark as killed what nobody ended: its pod is gone. One that was alive after all still says how it ended."""
    for run in runs:
        tracking.client.set_terminated(run, STATUS["killed"], at)


def log_inputs(tracking: Tracking, run: str, inputs: Mapping[str, str], study: str) -> None:
    """Models as LoggedModel inputs, all else as data sets `stage[/sub]` with the key as digest."""
    models = {model_id(tracking, address, study) for address in inputs.values() if is_model(address)}
    before = tracking.client.get_run(run).inputs
    known = {one.model_id for one in before.model_inputs} if before else set()
    data = {name: address for name, address in inputs.items() if not is_model(address)}
    tracking.client.log_inputs(
        run,
        datasets=[dataset(name, address) for name, address in data.items()],
        models=[LoggedModelInput(model) for model in sorted(models - known)],
    )


def is_model(address: str) -> bool:
    """Whether an address is that of a model's folder."""
    result, sub = split_address(address)
    stage = result.split("/")[0]
    if stage == OF_SEVERAL:
        return bool(sub)
    return (stage in WHOLE_MODELS and not sub) or (stage in CHECKPOINTED and sub.startswith("checkpoints/"))


def dataset(name: str, address: str) -> DatasetInput:
    """A result of ours as MLflow's data set."""
    result, sub = split_address(address)
    stage, key = result.split("/")
    entity = Dataset("/".join(filter(None, [stage, sub])), key, "local", json.dumps({"uri": address}))
    return DatasetInput(entity, [InputTag("mlflow.data.context", name)])


def output_models(opened: StageOpened, files: Iterable[str]) -> list[tuple[str, str, int]]:
    """Address, name and step of each model among the published files."""
    result = address_of(opened.stage, opened.key)
    if opened.stage in WHOLE_MODELS:
        return [(result, opened.task, 0)]
    if opened.stage in CHECKPOINTED:
        steps = sorted({int(path.split("/")[1]) for path in files if path.startswith("checkpoints/")})
        return [(f"{result}/checkpoints/{step}", f"{opened.task}-{step}", step) for step in steps]
    if opened.stage == OF_SEVERAL:
        names = sorted({path.split("/")[0] for path in files})
        return [(f"{result}/{name}", f"{opened.task}-{name}", 0) for name in names]
    return []


def subject(opened: StageOpened, models: Sequence[str], figure: str) -> str:
    """The address of the model that a final figure is about; "" if it is about none."""
    if opened.stage == OF_SEVERAL:
        return next((address for address in models if address.endswith(f"/{figure.split('/')[0]}")), "")
    return models[-1] if models else opened.inputs.get("model", "")


def close_run(tracking: Tracking, run: str, history: Sequence[Event]) -> None:
    """End a run: its models as outputs, its final figures for the model they are about, its status."""
    opened, finished = history[0], history[-1]
    assert isinstance(finished, Finished)
    if isinstance(opened, StageOpened) and finished.status == "done":
        study = study_of(opened.submission)
        models = output_models(opened, finished.files)
        outputs = [
            LoggedModelOutput(model_id(tracking, address, study, name, run), step) for address, name, step in models
        ]
        before = tracking.client.get_run(run).outputs
        known = {one.model_id for one in before.model_outputs} if before else set()
        if new := [one for one in outputs if one.model_id not in known]:  # a server refuses an empty list
            tracking.client.log_outputs(run, new)
        for point in points(event for event in history if isinstance(event, Logged) and event.step is None):
            about = subject(opened, [address for address, _, _ in models], point.key)
            if about:
                model = model_id(tracking, about, study)
                tracking.client.log_metric(run, point.key, point.value, point.timestamp, 0, model_id=model)
    about_itself = [Metric(clean(name), value, finished.at, 0) for name, value in finished.metrics.items()]
    log_metrics(tracking, run, about_itself)
    if finished.message:
        tracking.client.set_tag(run, MESSAGE, finished.message[:LONGEST_VALUE])
    tracking.client.set_terminated(run, STATUS[finished.status], finished.at)

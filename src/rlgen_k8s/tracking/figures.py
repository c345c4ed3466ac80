"""The figures of a submission's results, by task: what is compared, and what the submission's own run shows."""

from collections.abc import Iterable, Mapping

from mlflow.entities import Metric, Run

from rlgen_k8s.tracking.mlflow_store import Tracking, all_experiments, producer
from rlgen_k8s.tracking.record import clean, log_metrics

NODE = "rlgen.node."


def planned(submission: Run) -> dict[str, str]:
    """The address of each result that a submission's plan names, by task."""
    tags = submission.data.tags.items()
    return {tag.removeprefix(NODE): value.split(" ")[1] for tag, value in tags if tag.startswith(NODE)}


def producers(tracking: Tracking, addresses: Iterable[str], experiments: list[str]) -> dict[str, Run]:
    """By address the run that published a result, of those that MLflow has."""
    found = {address: producer(tracking, address, experiments) for address in addresses}
    return {address: run for address, run in found.items() if run is not None}


def figures(submission: Run, runs: Mapping[str, Run]) -> dict[str, float]:
    """The newest values of all metrics of a submission's results, as `task.metric`; `runs` has who made them."""
    return {
        f"{task}.{name}": value
        for task, address in planned(submission).items()
        if address in runs
        for name, value in runs[address].data.metrics.items()
    }


def log_figures(tracking: Tracking, submission: str) -> None:
    """Give the submission's run the figures of its results: MLflow's own pages compare what a run itself has.

    Each has the time at which its result was made, so that they may be given again.
    """
    run = tracking.client.get_run(submission)
    found = producers(tracking, planned(run).values(), all_experiments(tracking))
    given = [
        Metric(clean(f"{task}.{name}"), value, found[address].info.end_time, 0)
        for task, address in planned(run).items()
        if address in found
        for name, value in found[address].data.metrics.items()
    ]
    log_metrics(tracking, submission, given)

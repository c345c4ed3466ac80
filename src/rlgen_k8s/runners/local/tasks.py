"""Read a built workflow into the tasks of its DAG; refuse by name, before anything starts, what cannot run here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlgen_k8s.dag.names import EXPECTED_MINUTES, POD_ONLY
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.local.expressions import substitute
from rlgen_k8s.runners.quantity import quantity

# What a workflow may say, by place. `IGNORED` is what only a cluster needs to be told, or can do: nothing of it changes
# a result. The exit handler is the runner's own end of a run; a report is opened from the store.
SUPPORTED = {
    "spec": {"entrypoint", "templates", "arguments"},
    "template": {"name", "container", "dag", "inputs", "outputs", "retryStrategy", "metadata"},
    "outputs": set[str](),
    "dag": {"tasks"},
    "task": {"name", "template", "arguments", "dependencies", "depends", "when", "withItems"},
    "container": {"command", "args", "env", "resources"},
    "env": {"name", "value"},
    "retryStrategy": {"limit", "retryPolicy", "expression", "backoff"},
    "backoff": {"duration", "factor", "cap"},
}
IGNORED = {
    "spec": {
        *("serviceAccountName", "automountServiceAccountToken", "executor", "securityContext"),
        *("podGC", "podMetadata", "podSpecPatch", "ttlStrategy"),
        *("archiveLogs", "artifactRepositoryRef", "onExit"),
    },
    "template": {"securityContext", "serviceAccountName", "nodeSelector", "tolerations", "affinity", "volumes"},
    "outputs": {"artifacts"},
    "container": {"name", "image", "imagePullPolicy", "securityContext", "volumeMounts"},
    # Credentials and the pod's own name: the user's environment has the former, and there is no pod.
    "env": {"valueFrom"},
}


@dataclass(frozen=True)
class Retry:
    """When a failed task is tried again: at most `limit` times, if `expression` holds, after `seconds · factorⁿ`."""

    limit: int = 0
    expression: str = "true"
    seconds: float = 0.0
    factor: float = 1.0
    max_seconds: float = float("inf")


@dataclass(frozen=True)
class LocalTask:
    """One task of the DAG, fan-out expanded and parameters filled in: a command to run as a child process."""

    name: str
    after: tuple[str, ...]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cpu: float
    memory: float
    """Bytes."""
    minutes: float = 1.0
    """Expected duration."""
    when: str | None = None
    retry: Retry = field(default_factory=Retry)


def read_tasks(workflow: Mapping[str, Any]) -> list[LocalTask]:
    """The tasks of a built workflow (`Workflow.to_dict()`), each after those it waits for.

    Raises `UserError` that names the first thing the local runner does not support.
    """
    spec = workflow["spec"]
    _only("spec", spec, "workflow")
    templates = {template["name"]: template for template in spec["templates"]}
    for name, template in templates.items():
        _only("template", template, f"template {name}")
        _only("outputs", template.get("outputs", {}), f"template {name}: outputs")
    entry = templates[spec["entrypoint"]]
    if "dag" not in entry:
        raise UserError(f"template {entry['name']}: the local runner starts at a dag; run it on Argo")
    _only("dag", entry["dag"], f"template {entry['name']}")
    given = _parameters(spec.get("arguments"))
    values = {f"workflow.parameters.{name}": value for name, value in given.items()}
    expanded = {task["name"]: list(_expand(task)) for task in entry["dag"]["tasks"]}
    return [_task(task, templates, values, expanded) for tasks in expanded.values() for task in tasks]


def _expand(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The task itself, or one copy for each of its items, named as Argo names them: `name(0:item)`."""
    _only("task", task, f"task {task['name']}")
    if "withItems" not in task:
        yield dict(task)
        return
    for index, item in enumerate(task["withItems"]):
        parts = item if isinstance(item, dict) else {}
        values = {"item": str(item), **{f"item.{name}": str(value) for name, value in parts.items()}}
        label = ",".join(f"{k}:{v}" for k, v in parts.items()) if parts else str(item)
        yield {**task, "name": f"{task['name']}({index}:{label})", "item": values}


def _task(
    task: Mapping[str, Any],
    templates: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, str],
    expanded: Mapping[str, list[dict[str, Any]]],
) -> LocalTask:
    template = templates[task["template"]]
    if "container" not in template:
        raise UserError(f"task {task['name']}: template {template['name']} is no container; run it on Argo")
    container = template["container"]
    _only("container", container, f"template {template['name']}")
    values = {**values, **task.get("item", {})}
    arguments = {name: substitute(value, values) for name, value in _parameters(task.get("arguments")).items()}
    declared = _parameters(template.get("inputs")) | arguments
    values |= {f"inputs.parameters.{name}": value for name, value in declared.items()}
    requests = container.get("resources", {}).get("requests", {})
    return LocalTask(
        name=task["name"],
        after=tuple(item["name"] for name in _waits_for(task) for item in expanded[name]),
        argv=tuple(substitute(part, values) for part in [*container.get("command", []), *container.get("args", [])]),
        env=_environment(container.get("env", []), values, template["name"]),
        cpu=quantity(requests.get("cpu", "1")),
        memory=quantity(requests.get("memory", "0")),
        minutes=float(template.get("metadata", {}).get("annotations", {}).get(EXPECTED_MINUTES, 1)),
        when=substitute(task["when"], values) if "when" in task else None,
        retry=_retry(template),
    )


def _environment(items: Sequence[Mapping[str, Any]], values: Mapping[str, str], template: str) -> dict[str, str]:
    """The variables with a value of their own, without those that tell of a pod."""
    for item in items:
        _only("env", item, f"template {template}: env {item['name']}")
    return {
        item["name"]: substitute(item.get("value", ""), values)
        for item in items
        if "valueFrom" not in item and item["name"] not in POD_ONLY
    }


def _waits_for(task: Mapping[str, Any]) -> list[str]:
    """Names of tasks: `dependencies`, or a `depends` that only joins names with `&&`."""
    depends = [name.strip() for name in task["depends"].split("&&")] if "depends" in task else []
    for name in depends:
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise UserError(f"task {task['name']}: depends {task['depends']!r} is not supported here; run it on Argo")
    return [*task.get("dependencies", ()), *depends]


def _retry(template: Mapping[str, Any]) -> Retry:
    strategy = template.get("retryStrategy")
    if strategy is None:
        return Retry()
    _only("retryStrategy", strategy, f"template {template['name']}")
    if strategy.get("retryPolicy") != "Always":
        raise UserError(
            f"template {template['name']}: retryPolicy {strategy.get('retryPolicy')}; here only Always runs"
        )
    backoff = strategy.get("backoff", {})
    _only("backoff", backoff, f"template {template['name']}: backoff")
    return Retry(
        limit=int(strategy["limit"]),
        expression=strategy.get("expression", "true"),
        seconds=_seconds(backoff.get("duration", "0s")),
        factor=float(backoff.get("factor", 1)),
        max_seconds=_seconds(backoff["cap"]) if "cap" in backoff else float("inf"),
    )


def _only(place: str, given: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in SUPPORTED[place] | IGNORED.get(place, set()):
            raise UserError(f"{where}: {name} is not supported by the local runner; run it on Argo")


def _parameters(holder: Mapping[str, Any] | None) -> dict[str, str]:
    listed = (holder or {}).get("parameters", [])
    return {item["name"]: str(item.get("value", item.get("default", ""))) for item in listed}


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9.]+)(s|m|h|)", str(text))
    if match is None:
        raise UserError(f"duration {text}: expected a number with s, m or h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]

"""A Workflow object as the states of its tasks. Plain functions of what the API server sent."""

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.workflows import Workflow, name_of
from rlgen_k8s.runners.states import Phase, TaskState

Node = Mapping[str, Any]
EXIT_HANDLER = "onExit"
STARTING = ("ContainerCreating", "PodInitializing")
"""Reasons of a pod to wait that say nothing."""
WANTS = {"OOMKilled": "memory", "Usage of EmptyDir volume": "disk"}
"""What the kubelet says of a pod that used too much, and the setting of its shape; the pod itself cannot say more."""


def nodes_of(workflow: Workflow) -> Mapping[str, Node]:
    """The nodes of a workflow by id; Argo packs those of a large one."""
    status = workflow.get("status", {})
    if packed := status.get("compressedNodes"):
        unpacked: dict[str, Node] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return unpacked
    nodes: dict[str, Node] = status.get("nodes") or {}
    return nodes


def task_names(workflow: Workflow) -> list[str]:
    """The tasks of a workflow's DAG, each after those it waits for."""
    spec = workflow["spec"]
    entry = next(template for template in spec["templates"] if template["name"] == spec["entrypoint"])
    return [task["name"] for task in entry["dag"]["tasks"]]


def attempts(workflow: Workflow, task: str) -> list[Node]:
    """The pods' nodes of a task, oldest first."""
    return _attempts(nodes_of(workflow)).get(f"{name_of(workflow)}.{task}", [])


def _attempts(nodes: Mapping[str, Node]) -> dict[str, list[Node]]:
    """The pods' nodes of each task, oldest first, by its full name; a pod that may be tried again is `name(0)`, …"""
    found: dict[str, list[tuple[int, Node]]] = {}
    for node in nodes.values():
        if node["type"] == "Pod":
            name, _, number = node["name"].partition("(")
            found.setdefault(name, []).append((int(number[:-1] or 0), node))
    return {name: [node for _, node in sorted(tries, key=itemgetter(0))] for name, tries in found.items()}


def states(workflow: Workflow) -> list[TaskState]:
    """The state of every task of a workflow's DAG, in the DAG's order, and of the exit handler once it is there."""
    nodes, name = nodes_of(workflow), name_of(workflow)
    by_name, tries = {node["name"]: node for node in nodes.values()}, _attempts(nodes)
    exit_handler = [EXIT_HANDLER] if f"{name}.{EXIT_HANDLER}" in by_name else []
    tasks = [*task_names(workflow), *exit_handler]
    return [_state(task, by_name.get(f"{name}.{task}"), tries.get(f"{name}.{task}", [])) for task in tasks]


def _state(task: str, node: Node | None, tries: list[Node]) -> TaskState:
    if node is None:
        return TaskState(task)
    newest = tries[-1] if tries else node
    phase = Phase(node.get("phase") or "Pending")
    if not phase.done:
        phase = Phase(newest.get("phase") or "Pending")
        # Between two attempts nothing runs: the last one is over, and the task is not.
        phase = Phase.PENDING if phase.done else phase
    ran = [one for one in tries if one.get("phase") != "Pending"]
    done, total = _progress(newest)
    return TaskState(
        name=task,
        phase=phase,
        attempts=len(ran),
        started=seconds(newest.get("startedAt")) if ran and phase is not Phase.PENDING else None,
        finished=seconds(newest.get("finishedAt")),
        done=done,
        total=total,
        message=_message(node, newest, phase),
        exit_code=_exit_code(newest),
    )


def _message(node: Node, newest: Node, phase: Phase) -> str:
    """The newest attempt's message: the retry node around it only says how often it tried."""
    said = str(newest.get("message") or node.get("message") or "")
    if phase in (Phase.SUCCEEDED, Phase.RUNNING) or said in STARTING:
        return ""
    said = said.removeprefix("main: ").rstrip()
    raised = [f"pods.{newest.get('templateName')}.{setting}" for words, setting in WANTS.items() if words in said]
    return f"{said.rstrip('.')}; raise {raised[0]}" if raised and raised[0] not in said else said


def _exit_code(node: Node) -> int | None:
    """The stage's own, or 2 where a pod was ended that the user has to give more."""
    if any(words in str(node.get("message")) for words in WANTS):
        return UserError.exit_code
    code = (node.get("outputs") or {}).get("exitCode")
    return int(code) if code not in (None, "") else None


def _progress(node: Node) -> tuple[int, int]:
    """`N/M` as the stage wrote it; Argo's own 0/1 says nothing."""
    done, _, total = str(node.get("progress") or "0/1").partition("/")
    return (int(done), int(total)) if int(total) > 1 else (0, 0)


def seconds(time: str | None) -> float | None:
    """A time of Kubernetes as seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp() if time else None

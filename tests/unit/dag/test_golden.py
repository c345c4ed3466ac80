"""What each study renders to, short enough to be read: its pods, tasks, and each stage's settings. In `pods.yaml` is
all that stands in the templates and around them.

After a change that is meant: `RLGEN_GOLDEN=write .venv/bin/python -m pytest tests/unit/dag/test_golden.py`, then read
the difference.
"""

import json
import os
from collections import defaultdict
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.study.load import load_study, study_names

GOLDEN = Path(__file__).parent / "golden"


def rendered(name: str) -> dict[str, Any]:
    study = load_study(name)
    made: dict[str, Any] = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())
    return made


def summary(name: str) -> dict[str, Any]:
    """The rendered workflow without keys, a line for each template."""
    spec = rendered(name)["spec"]
    tasks = next(template["dag"]["tasks"] for template in spec["templates"] if "dag" in template)
    pods = {template["name"]: _pod(template) for template in spec["templates"] if "container" in template}
    settings: dict[str, Any] = {}
    for task in tasks:
        given = {item["name"]: item["value"] for item in task["arguments"]["parameters"]}
        named = task["name"] if task["template"] in ("model", "merge", "intervene") else task["template"]
        values = json.loads(given["settings"])
        values.pop("study_settings", None)  # the report's copy of all of these
        settings.setdefault(named, values)
    return {
        "pods": pods,
        "tasks": {task["name"]: ", ".join([task["template"], *task.get("dependencies", [])]) for task in tasks},
        "settings": settings,
    }


def _pod(template: dict[str, Any]) -> str:
    container = template["container"]
    asked = {**container["resources"]["requests"], **container["resources"]["limits"]}
    scratch = next(volume["emptyDir"]["sizeLimit"] for volume in template["volumes"] if volume["name"] == "scratch")
    command = " ".join([*container["command"], *container["args"][:1]])
    gpus = asked.get("nvidia.com/gpu", 0)
    queue = template.get("metadata", {}).get("labels", {}).get("kueue.x-k8s.io/queue-name")
    waits = f", waits in {queue}" if queue else ""
    return f"{command}: {asked['cpu']} cores, {asked['memory']}, {gpus} GPUs, {scratch} of scratch{waits}"


def pods() -> dict[str, Any]:
    """What is around the templates, the exit handler, what all stages' templates have, and what each has besides.

    By the studies in which it is the same.
    """
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for study in study_names():
        for kind, part in parts(study).items():
            found[kind][json.dumps(part)].append(study)
    kinds = {kind: {", ".join(studies): json.loads(part) for part, studies in found[kind].items()} for kind in found}
    around = {kind: kinds.pop(kind) for kind in ("workflow", "close")}
    every = reduce(common, [template for each in kinds.values() for template in each.values()])
    stages = {kind: {studies: without(template, every) for studies, template in kinds[kind].items()} for kind in kinds}
    return {**around, "every stage": every, **stages}


def parts(study: str) -> dict[str, Any]:
    """The workflow without its templates and its study's name, and each template of a pod."""
    workflow = rendered(study)
    spec = workflow["spec"]
    assert workflow["metadata"]["labels"] == spec["podMetadata"]["labels"]
    assert spec["podMetadata"]["labels"].pop("rlgen-k8s/study") == study
    templates = [template for template in spec.pop("templates") if "container" in template]
    return {"workflow": by_name(spec), **by_name(templates)}


def by_name(value: Any) -> Any:
    """Lists of named things as what has these names; arguments by their options."""
    if isinstance(value, dict):
        return {key: by_name(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    for key in ("mountPath", "name"):
        if all(isinstance(item, dict) and key in item for item in value):
            named = {item.pop(key): by_name(item) for item in value}
            return {name: item.get("value", item) if len(item) == 1 else item for name, item in named.items()}
    if all(isinstance(item, str) and item.startswith("--") for item in value):
        return dict(item.split("=", 1) for item in value)
    return value


def common(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What both have."""
    found = {}
    for key in (key for key in one if key in other):
        if one[key] == other[key]:
            found[key] = one[key]
        elif isinstance(one[key], dict) and (part := common(one[key], other[key])):
            found[key] = part
    return found


def without(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What is in `one` alone."""
    return {
        key: without(value, other[key]) if isinstance(value, dict) and key in other else value
        for key, value in one.items()
        if key not in other or other[key] != value
    }


def check(made: dict[str, Any], file: Path, *, flow: bool | None) -> None:
    text = yaml.safe_dump(made, sort_keys=False, width=120, allow_unicode=True, default_flow_style=flow)
    if os.environ.get("RLGEN_GOLDEN") == "write":
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize("name", study_names())
def test_a_study_renders_to_what_was_read_and_found_right(name: str) -> None:
    check(summary(name), GOLDEN / f"{name}.yaml", flow=False)


def test_its_pods_are_what_was_read_and_found_right() -> None:
    check(pods(), GOLDEN / "pods.yaml", flow=None)


@pytest.mark.parametrize("name", study_names())
def test_no_setting_holds_what_argo_would_take_for_a_template(name: str) -> None:
    study = load_study(name)
    workflow = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())
    tasks = next(template["dag"]["tasks"] for template in workflow["spec"]["templates"] if "dag" in template)
    assert not [task["name"] for task in tasks if "{{" in json.dumps(task["arguments"])]

"""What each full study renders to, short enough to be read: pods, tasks, and each stage's settings.

After a change that is meant: `RLGEN_GOLDEN=write .venv/bin/python -m pytest tests/unit/dag/test_golden.py`, then read
the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.study.load import load_study, study_names

GOLDEN = Path(__file__).parent / "golden"


def summary(name: str) -> dict[str, Any]:
    """The rendered workflow without what is the same in every pod, and without keys."""
    study = load_study(name)
    spec = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())["spec"]
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


@pytest.mark.parametrize("name", [name for name in study_names() if name.startswith("full-")])
def test_a_full_study_renders_to_what_was_read_and_found_right(name: str) -> None:
    made, file = summary(name), GOLDEN / f"{name}.yaml"
    if os.environ.get("RLGEN_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(made, sort_keys=False, width=120, allow_unicode=True))
    assert yaml.safe_load(file.read_text()) == made


@pytest.mark.parametrize("name", study_names())
def test_no_setting_holds_what_argo_would_take_for_a_template(name: str) -> None:
    study = load_study(name)
    workflow = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())
    tasks = next(template["dag"]["tasks"] for template in workflow["spec"]["templates"] if "dag" in template)
    assert not [task["name"] for task in tasks if "{{" in json.dumps(task["arguments"])]

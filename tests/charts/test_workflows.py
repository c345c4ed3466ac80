"""Rendered workflows against the CRDs of Argo and JobSet, of the versions that the development cluster installs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rlgen_k8s.dag.names import JOBSET
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.study.load import load_study, study_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Of a Workflow."""
    module, crd = "github.com/argoproj/argo-workflows/v4", "manifests/base/crds/full/argoproj.io_workflows.yaml"
    return _schema("argo", module, crd)


def _schema(component: str, module: str, crd: str) -> dict[str, Any]:
    """Of a kind, with unknown fields refused, as the API server refuses them."""
    folder = ROOT / "platform/cluster/go" / component
    found = subprocess.check_output(["go", "mod", "download", "-json", module], cwd=folder, text=True)
    (version,) = yaml.safe_load((Path(json.loads(found)["Dir"]) / crd).read_text())["spec"]["versions"]
    closed = _closed(version["schema"]["openAPIV3Schema"])
    closed["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own, which a CRD leaves out
    return closed


def _closed(schema: Any) -> Any:
    """`schema` with no other fields than it names, wherever it does not say that it keeps unknown ones."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.mark.parametrize("name", study_names())
def test_a_study_s_workflow_is_one_by_argo_s_own_schema(name: str, schema: dict[str, Any]) -> None:
    study = load_study(name)
    jsonschema.validate(yaml.safe_load(build_workflow(study, plan(study)).to_yaml()), schema)


def test_a_gang_s_jobset_is_one_by_jobset_s_own_schema() -> None:
    shared = ["sft.processes=2", "sft.deepspeed_stage=2", "sft.per_device_batch=64", "pods.sft.nodes=2"]
    study = load_study("tiny", shared)
    templates = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())["spec"]["templates"]
    launcher = next(template["container"] for template in templates if template["name"] == "sft")
    (jobset,) = [json.loads(item["value"]) for item in launcher["env"] if item["name"] == JOBSET]
    known = _schema("jobset", "sigs.k8s.io/jobset", "config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml")
    jsonschema.validate(jobset, known)
    jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["paralelism"] = 2
    with pytest.raises(jsonschema.ValidationError, match="paralelism"):
        jsonschema.validate(jobset, known)


def test_a_field_that_argo_does_not_know_is_seen(schema: dict[str, Any]) -> None:
    study = load_study("full-qwen25")
    workflow = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())
    workflow["spec"]["templates"][0]["dagg"] = {}
    with pytest.raises(jsonschema.ValidationError, match="dagg"):
        jsonschema.validate(workflow, schema)

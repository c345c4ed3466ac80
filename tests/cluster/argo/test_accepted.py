"""What `rlgen render` prints for each study is a Workflow to the real API server, by Argo's full CRDs."""

import json
import re

import pytest
import yaml
from kubernetes.client import ApiException

from rlgen_k8s.study.load import study_names
from rlgen_k8s.study.rehearsal import SUFFIX

REHEARSALS = [f"{name}{SUFFIX}" for name in study_names() if name.startswith("full-")]
GANGS = ("pods.sft.nodes=2", "pods.grpo.nodes=2", "pods.stream.nodes=2")


def rendered(cluster, study, *settings):
    options = [word for setting in settings for word in ("--set", setting)]
    workflow = yaml.safe_load(cluster.rlgen("render", study, *options))
    # One of this name may be there.
    workflow["metadata"]["generateName"] = f"{workflow['metadata'].pop('name')}-"
    return workflow


def send(cluster, workflow):
    """What the API server would have stored."""
    return cluster.custom.create_namespaced_custom_object(
        *cluster.workflows, workflow, dry_run="All", field_validation="Strict"
    )


@pytest.mark.parametrize(
    ("study", "settings"), [*((name, ()) for name in (*study_names(), *REHEARSALS)), ("full-qwen25", GANGS)]
)
def test_given_a_study_when_its_workflow_is_sent_then_it_is_taken_as_it_stands(cluster, study, settings):
    workflow = rendered(cluster, study, *settings)

    taken = send(cluster, workflow)

    assert taken["spec"] == workflow["spec"]
    assert taken["metadata"]["annotations"] == workflow["metadata"]["annotations"]


def container(workflow):
    return next(template for template in workflow["spec"]["templates"] if "container" in template)


def misspelt(workflow):
    container(workflow)["retryStrategie"] = {"limit": 3}


def of_two_kinds(workflow):
    container(workflow)["script"] = {"image": "a:1", "source": "true"}


def mistyped(workflow):
    container(workflow)["container"]["env"][0]["value"] = 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (misspelt, r'unknown field "spec\.templates\[\d+\]\.retryStrategie"'),
        (of_two_kinds, "template must have at most one template type"),  # a CEL rule
        (mistyped, r"env\[0\]\.value.* must be of type string"),
    ],
)
def test_given_a_workflow_with_a_mistake_when_it_is_sent_then_it_is_refused_by_name(cluster, wrong, words):
    workflow = rendered(cluster, "tiny")
    wrong(workflow)

    with pytest.raises(ApiException) as refused:
        send(cluster, workflow)

    assert refused.value.status in (400, 422)
    assert re.search(words, json.loads(refused.value.body)["message"])

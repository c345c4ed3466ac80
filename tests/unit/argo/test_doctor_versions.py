"""The doctor's verdicts on the versions of Argo, JobSet and Kueue."""

from types import SimpleNamespace

import pytest

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.argo.doctor.versions import (
    argo_verdict,
    gang_kinds,
    gang_kinds_verdict,
    logged_version,
    version_of,
)
from rlgen_k8s.study.load import load_study

JOBSET = {"v1alpha2": {"jobsets"}}
KUEUE = {"v1beta1": set(), "v1beta2": {"workloads", "localqueues", "clusterqueues", "resourceflavors"}}


def served(jobset=JOBSET, kueue=KUEUE):
    return {"jobset.x-k8s.io": jobset, "kueue.x-k8s.io": kueue}


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("quay.io/argoproj/workflow-controller:v4.0.7", "v4.0.7"),
        ("quay.io/argoproj/workflow-controller:v3.6.2@sha256:abc", "v3.6.2"),
        ("localhost:5000/rlgen/workflow-controller@sha256:abc", ""),
        ("localhost:5000/rlgen/workflow-controller:8c0de1", ""),
        ("docker.io/bitnami/argo-workflow-controller:3.6.2-debian-12-r0", "3.6.2-debian-12-r0"),
        ("workflow-controller", ""),
    ],
)
def test_a_controller_s_version_is_the_tag_of_its_image(image, version):
    sidecar = {"name": "proxy", "image": "docker.io/istio/proxyv2:1.24.0"}
    assert version_of({"spec": {"containers": [sidecar, {"name": "controller", "image": image}]}}) == version


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (
            'time=2026-11-30T09:24:40Z level=INFO msg="Starting Workflow Controller" buildDate=1970-01-01T00:00:00Z '
            "goVersion=go1.26.8 instanceID= version=v4.0.7+unknown",
            "v4.0.7+unknown",
        ),
        ('{"goVersion":"go1.23","level":"info","msg":"Starting Workflow Controller","version":"v3.6.2"}', "v3.6.2"),
        ('level=INFO msg="Current Worker Numbers" version=v4.0.7', ""),
    ],
)
def test_a_controller_s_version_is_what_it_says_when_it_starts(line, version):
    assert logged_version(f"level=INFO msg=before\n{line}\n") == version


def test_workflows_need_argo_4():
    assert argo_verdict({"a": "v4.0.7"}).ok is True
    old = argo_verdict({"a": "v3.6.2"})
    assert old.ok is False
    assert "a is Argo v3.6.2, and workflows need 4.x; upgrade it" in old.said
    assert argo_verdict({"a": "v40.1.0"}).ok is False


@pytest.mark.parametrize("found", [{}, {"a": ""}, {"a": "v3.6.2", "b": "v4.0.7"}])
def test_a_version_that_cannot_be_told_stops_nothing(found):
    assert argo_verdict(found).ok is None


def test_gangs_need_jobset_and_kueue_in_the_versions_they_are_written_for():
    assert gang_kinds_verdict(served()).said == "jobset.x-k8s.io/v1alpha2, kueue.x-k8s.io/v1beta2"


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (served(jobset={}), "this cluster has no JobSet (jobset.x-k8s.io/v1alpha2): install it"),
        (served(kueue={}), "this cluster has no Kueue (kueue.x-k8s.io/v1beta2): install it"),
        (served(kueue={"v1beta1": set()}), "Kueue here serves kueue.x-k8s.io/v1beta1, and gangs need v1beta2"),
        (served(kueue={"v1beta2": {"workloads"}}), "kueue.x-k8s.io/v1beta2 has no clusterqueues, localqueues"),
    ],
)
def test_what_gangs_lack_is_named_with_what_to_do(there, words):
    verdict = gang_kinds_verdict(there)
    assert verdict.ok is False
    assert words in verdict.said


def test_a_study_without_gangs_needs_neither():
    assert gang_kinds(SimpleNamespace(todo=plan(load_study("tiny")))).ok is True

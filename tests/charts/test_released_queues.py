"""`platform/queues`: JobSet and Kueue for any cluster, as their projects released them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.charts.conftest import CACHE, ROOT

from rlgen_k8s.runners.gang.launcher import hopeless

KUBECTL = """#!/bin/sh
case "$1" in
kustomize) exec {real} "$@" ;;
config) echo somewhere ;;
get) case "$*" in *deployment*) printf '%s' "{managers}" ;; esac ;;
apply) cat > {applied} ;;
esac
"""


@pytest.fixture
def queues(tmp_path):
    """Run it on a cluster that takes everything: what ended, and the objects that the cluster was given."""

    def run(managers: str = "", **changes: str) -> tuple[subprocess.CompletedProcess[str], list[dict]]:
        applied, program = tmp_path / "applied.yaml", tmp_path / "kubectl"
        applied.write_text("")
        real = CACHE / "bin/current/kubectl"
        program.write_text(KUBECTL.format(real=real, applied=applied, managers=managers))
        program.chmod(0o755)
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | changes
        done = subprocess.run([ROOT / "platform/queues"], env=environment, capture_output=True, text=True, check=False)
        return done, [item for item in yaml.load_all(applied.read_text(), yaml.CSafeLoader) if item]

    return run


def pinned(project: str) -> str:
    text = Path(ROOT, f"platform/cluster/go/{project}/go.mod").read_text()
    return re.search(rf"^require sigs.k8s.io/{project} (v\S+)", text, re.M)[1]


def named(objects: list[dict], kind: str) -> dict[str, dict]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def test_a_cluster_gets_both_with_the_projects_images_and_nothing_of_the_development_cluster(queues):
    done, objects = queues()
    assert done.returncode == 0, done.stderr
    crds = named(objects, "CustomResourceDefinition")
    assert {"jobsets.jobset.x-k8s.io", "workloads.kueue.x-k8s.io", "clusterqueues.kueue.x-k8s.io"} <= set(crds)
    managers = named(objects, "Deployment")
    assert set(managers) == {"jobset-controller-manager", "kueue-controller-manager"}
    for project in ("jobset", "kueue"):
        [container] = managers[f"{project}-controller-manager"]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"registry.k8s.io/{project}/{project}:{pinned(project)}"
        assert container["command"] == ["/manager"]
        assert container["resources"]["requests"]["cpu"] == "500m"
    text = yaml.safe_dump_all(item for item in objects if item["kind"] != "CustomResourceDefinition")
    assert "localhost" not in text and "rlgen-dev" not in text


def test_kueue_manages_and_sees_only_what_names_a_queue_and_one_of_several_managers_leads(queues):
    _, objects = queues()
    text = named(objects, "ConfigMap")["kueue-manager-config"]["data"]["controller_manager_config.yaml"]
    config = yaml.safe_load(text)
    assert set(config["integrations"]["frameworks"]) == {"jobset.x-k8s.io/jobset", "pod"}
    assert config["manageJobsWithoutQueueName"] is False
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        [hooks] = [one["webhooks"] for name, one in named(objects, kind).items() if name.startswith("kueue-")]
        [seen] = [hook for hook in hooks if hook["name"].endswith("pod.kb.io")]
        assert [one["key"] for one in seen["objectSelector"]["matchExpressions"]] == ["kueue.x-k8s.io/queue-name"]
    assert config["leaderElection"]["leaderElect"] is True


def test_a_registry_of_the_operator_s_is_taken(queues):
    _, objects = queues(REGISTRY="registry.test/mirror")
    containers = [item["spec"]["template"]["spec"]["containers"][0] for item in named(objects, "Deployment").values()]
    assert {container["image"] for container in containers} == {
        f"registry.test/mirror/{project}/{project}:{pinned(project)}" for project in ("jobset", "kueue")
    }


def test_the_words_by_which_a_launcher_gives_up_are_kueue_s():
    """As its scheduler of this version has them in its code."""
    listed = ["go", "mod", "download", "-json", "sigs.k8s.io/kueue"]
    told = subprocess.run(listed, cwd=ROOT / "platform/cluster/go/kueue", capture_output=True, text=True, check=True)
    code = Path(json.loads(told.stdout)["Dir"], "pkg/scheduler/flavorassigner/flavorassigner.go").read_text()
    never = [text.partition("%s")[0] for text in re.findall(r'"([^"\n]*%s[^"\n]*)"', code) if hopeless(text)]
    assert sorted(never) == ["insufficient quota for ", "resource "]
    assert (
        '"insufficient unused quota for %s in flavor %s, %s more needed' in code
    )  # which an end of others' may change


def test_what_somebody_else_manages_is_left_alone(queues):
    done, objects = queues(managers="helm kueue")
    assert (done.returncode, objects) == (2, [])
    assert done.stderr == "error: jobset: is there, managed by helm; give it what platform/gangs.md names\n"
    assert queues(managers="rlgen kueue")[0].returncode == 0

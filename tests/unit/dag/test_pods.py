"""The workflow as a cluster sees it, and the part of it that the local runner leaves alone."""

import json
from dataclasses import replace

import pytest
import yaml

from rlgen_k8s.dag.names import POD_ONLY
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.place import Place, Queue, workflow_name
from rlgen_k8s.dag.pods import RETRY_WHEN
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.runners.local.expressions import holds
from rlgen_k8s.runners.local.tasks import read_tasks
from rlgen_k8s.study.load import load_study

PLACE = Place(store="s3://b/p", tracking="http://m:5000", submission="tiny-20260131-120000", image="i@sha256:1")


@pytest.fixture(scope="module")
def study():
    return load_study("tiny", ["pods.grpo.patience=3", "pods.grpo.disk=7", "pods.grpo.gpus=2"])


@pytest.fixture(scope="module")
def built(study):
    return yaml.safe_load(build_workflow(study, plan(study), place=PLACE).to_yaml())


@pytest.fixture(scope="module")
def templates(built):
    return {template["name"]: template for template in built["spec"]["templates"] if "container" in template}


def variables(template):
    return {item["name"]: item for item in template["container"]["env"]}


def test_the_same_work_has_the_same_name_and_other_work_another(study, built):
    nodes = plan(study)
    assert built["metadata"]["name"] == workflow_name("tiny", [node.address for node in reversed(nodes)])
    assert build_workflow(study, nodes, finished={"mirror"}).name != built["metadata"]["name"]
    assert build_workflow(study, nodes, name="tiny-2").name == "tiny-2"


def test_a_workflow_says_whose_it_is_and_with_which_settings(study, built):
    labels = {"rlgen-k8s/study": "tiny", "rlgen-k8s/submission": "tiny-20260131-120000"}
    assert built["metadata"]["labels"] == built["spec"]["podMetadata"]["labels"] == labels
    assert json.loads(built["metadata"]["annotations"]["rlgen-k8s/settings"]) == study.model_dump(mode="json")


def test_pods_pass_the_restricted_standard(built, templates):
    pod = built["spec"]["securityContext"]
    assert (pod["runAsNonRoot"], pod["seccompProfile"]["type"]) == (True, "RuntimeDefault")
    for template in templates.values():
        security = template["container"]["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["runAsNonRoot"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert all(set(volume) == {"name", "emptyDir"} for volume in template["volumes"])


def test_stages_have_no_token_and_argo_s_containers_one_of_their_own(built):
    spec = built["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] != spec["executor"]["serviceAccountName"]


def test_credentials_are_named_and_never_written(built, templates, monkeypatch):
    monkeypatch.setenv("MINIO_SECRET_KEY", "do-not-tell")
    for template in templates.values():
        for name in ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
            assert set(variables(template)[name]) == {"name", "valueFrom"}
    study = load_study("tiny")
    assert "do-not-tell" not in build_workflow(study, plan(study), place=PLACE).to_yaml()


def test_all_that_a_stage_writes_to_is_a_volume_of_limited_size(templates):
    grpo = templates["grpo"]
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in grpo["volumes"]}
    assert sizes == {"scratch": "7Gi", "tmp": "7Gi", "shm": "4Gi"}
    mounts = {mount["mountPath"] for mount in grpo["container"]["volumeMounts"]}
    assert mounts == {"/scratch", "/tmp", "/dev/shm"}
    assert all(
        variables(grpo)[name]["value"].startswith("/scratch") for name in ("HOME", "RLGEN_HOME", "RLGEN_SCRATCH")
    )
    assert grpo["container"]["resources"]["requests"]["ephemeral-storage"] == "7Gi"
    assert (variables(grpo)["RLGEN_PATIENCE"]["value"], variables(grpo)["RLGEN_GPUS"]["value"]) == ("3", "2")


@pytest.mark.parametrize(
    ("stage", "setting", "variable", "others"),
    [
        ("stream", "processes", "RLGEN_PROCESSES", ["activations=streamed"]),
        ("grpo", "resume_steps", "RLGEN_RESUME_STEPS", []),
        ("sft", "resume_steps", "RLGEN_RESUME_STEPS", []),
    ],
)
def test_a_stage_is_told_how_to_work_and_its_key_is_not(stage, setting, variable, others):
    """Into how many processes the stream divides its work, and how often trainings save."""
    plain, told = (load_study("tiny", [*others, *more]) for more in ([], [f"pods.{stage}.{setting}=2"]))
    found = []
    for study in (plain, told):
        built = yaml.safe_load(build_workflow(study, plan(study), place=PLACE).to_yaml())
        each = {one["name"]: variables(one) for one in built["spec"]["templates"] if "container" in one}
        found.append({name: values[variable]["value"] for name, values in each.items() if variable in values})
    assert found == [{}, {stage: "2"}]
    assert [node.address for node in plan(plain)] == [node.address for node in plan(told)]


def test_a_pod_that_asks_for_gpus_and_no_other_waits_in_the_queue_of_the_place(study):
    def queued(place):
        made = yaml.safe_load(build_workflow(study, plan(study), place=place).to_yaml())["spec"]["templates"]
        labels = {one["name"]: one.get("metadata", {}).get("labels", {}) for one in made if "container" in one}
        return {name: found for name, found in labels.items() if any("kueue" in label for label in found)}

    [(stage, labels)] = queued(replace(PLACE, queue=Queue("ours", "urgent"))).items()
    assert stage == "grpo"
    assert labels["kueue.x-k8s.io/queue-name"] == "ours" and labels["kueue.x-k8s.io/priority-class"] == "urgent"
    assert queued(PLACE) == {}


def test_image_and_its_digest_are_those_of_the_place(templates):
    for template in templates.values():
        assert template["container"]["image"] == variables(template)["RLGEN_IMAGE"]["value"] == "i@sha256:1"


def test_the_report_its_figures_and_its_features_can_be_looked_at(built, templates):
    artifacts = {item["name"]: item for item in templates["report"]["outputs"]["artifacts"]}
    assert {name: item["path"] for name, item in artifacts.items()} == {
        "report": "/scratch/artifacts/report.html",
        "figures": "/scratch/artifacts/figures",
        "features": "/scratch/artifacts/features",
    }
    assert all(item["archive"] == {"none": {}} for item in artifacts.values())
    assert built["spec"]["artifactRepositoryRef"] == {"configMap": "artifact-repositories", "key": "rlgen"}


def test_an_exit_handler_ends_the_submission(built, templates):
    assert built["spec"]["onExit"] == "close"
    assert templates["close"]["container"]["args"][-1] == "--status={{workflow.status}}"
    assert {"name": "RLGEN_FAILURES", "value": "{{workflow.failures}}"} in templates["close"]["container"]["env"]
    assert variables(templates["close"])["RLGEN_SUBMISSION"]["value"] == "{{workflow.parameters.submission}}"


@pytest.mark.parametrize(
    ("status", "code", "message", "again"),
    [
        ("Failed", 75, "main: Error (exit code 75): the hub did not answer", True),
        ("Failed", 137, "main: Error (exit code 137)", True),
        ("Failed", 143, "main: Error (exit code 143): stopped by SIGTERM", True),
        ("Failed", 2, "main: Error (exit code 2): stopped by SIGTERM", True),
        ("Failed", -1, "The node was low on resource: memory.", True),
        ("Error", -1, "pod deleted", True),
        ("Error", 0, "wait: Error (exit code 64): failed to put file", True),
        ("Failed", 1, "main: Error (exit code 1): RuntimeError: a bug", False),
        ("Failed", 2, "main: Error (exit code 2): setting sft.learning_rate", False),
        ("Failed", 64, "main: Error (exit code 64)", False),
        ("Failed", 137, "main: OOMKilled (exit code 137)", False),
        ("Failed", 137, 'Usage of EmptyDir volume "scratch" exceeds the limit "4Gi". ', False),
    ],
)
def test_what_may_go_better_the_next_time_is_tried_again(status, code, message, again):
    """The values that Argo 4.0.7's controller gives, see its `inferFailedReason`."""
    last = {"lastRetry.status": status, "lastRetry.exitCode": str(code), "lastRetry.message": message}
    assert holds(RETRY_WHEN, last) is again


def test_preemptions_are_far_from_the_limit_and_no_deadline_ends_the_attempts(templates):
    for stage, template in templates.items():
        if stage != "close":
            assert template["retryStrategy"]["limit"] == 100
            assert "maxDuration" not in template["retryStrategy"]["backoff"]


def test_the_local_runner_keeps_the_user_s_own_home_scratch_and_credentials(study):
    for task in read_tasks(build_workflow(study, plan(study), place=PLACE).to_dict()):
        assert not (POD_ONLY | {"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "RLGEN_POD", "RLGEN_NODE"}) & task.env.keys()
        assert task.env["RLGEN_STORE"] == "s3://b/p"


def test_only_what_takes_models_and_sets_from_the_hub_reaches_it_and_holds_its_token(templates):
    full = load_study("full-qwen25")
    built = yaml.safe_load(build_workflow(full, plan(full), place=PLACE).to_yaml())
    online = {
        template["name"]: variables(template)["HF_TOKEN"]["valueFrom"]["secretKeyRef"]
        for template in built["spec"]["templates"]
        if template.get("metadata", {}).get("labels", {}).get("rlgen-k8s/internet") == "true"
    }
    token = {"name": "rlgen-hub", "key": "token", "optional": True}
    assert online == {"mirror": token, "model": token}
    assert not [stage for stage, template in templates.items() if "HF_TOKEN" in variables(template)]

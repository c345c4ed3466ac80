"""The doctor's verdicts on what the API server says."""

import pytest

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.doctor.check import Situation
from rlgen_k8s.runners.argo.doctor.control import controller_verdict, kinds_verdict
from rlgen_k8s.runners.argo.doctor.fit import fit
from rlgen_k8s.runners.argo.doctor.places import holds, lacking
from rlgen_k8s.runners.argo.doctor.places import image as image_check
from rlgen_k8s.runners.argo.doctor.registry import split
from rlgen_k8s.runners.argo.doctor.room import nodes_verdict, quotas_verdict
from rlgen_k8s.runners.quantity import quantity
from rlgen_k8s.study.load import load_study


def tasks(*assignments):
    return plan(load_study("tiny", list(assignments)))


def node(ready="True", taints=(), unschedulable=False, **allocatable):
    return {
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "2", "memory": "24Gi", "pods": "110", "ephemeral-storage": "40Gi", **allocatable},
            "images": [{"names": ["localhost:5000/rlgen/stages@sha256:abc"]}, {"names": None}],
        },
    }


def quota(hard, used):
    return {"metadata": {"name": "team"}, "status": {"hard": hard, "used": used}}


def test_the_probe_s_refusal_is_what_a_full_schema_gives():
    refused = '400: strict decoding error: unknown field "spec.rlgenDoctor"'
    assert kinds_verdict(400, refused).ok is True
    assert kinds_verdict(201, "").ok is False
    assert "make install" in kinds_verdict(404, "not found").said
    assert kinds_verdict(403, "forbidden").ok is None
    assert kinds_verdict(500, "webhook is down").ok is False


def test_a_controller_is_at_work_when_one_of_its_pods_is_ready():
    def pod(ready):
        return {"metadata": {"name": "c-1"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    assert controller_verdict([pod("False"), pod("True")]).ok is True
    assert controller_verdict([pod("False"), {"metadata": {"name": "c-2"}, "status": {}}]).ok is False
    assert controller_verdict([]).ok is None


def test_tiny_s_pods_fit_on_a_node_of_two_cores():
    assert nodes_verdict([node()], tasks()).ok is True


def test_what_no_node_has_is_named_with_its_setting():
    verdict = nodes_verdict([node()], tasks("pods.grpo.gpus=8", "pods.sft.memory=64"))
    assert verdict.ok is False
    assert "cores, 8 GiB, 8 GPUs and 4 GiB of disk at once (pods.grpo.gpus)" in verdict.said
    assert "(pods.sft.memory)" in verdict.said
    assert nodes_verdict([node(), node(**{"nvidia.com/gpu": "8", "memory": "96Gi"})], tasks("pods.grpo.gpus=8")).ok


def test_a_disk_that_no_node_has_is_named_too():
    verdict = nodes_verdict([node()], tasks("pods.grpo.disk=600"))
    assert verdict.ok is False
    assert "600 GiB of disk at once (pods.grpo.disk)" in verdict.said and "40 GiB of disk" in verdict.said
    short = quotas_verdict([quota({"requests.ephemeral-storage": "100Gi"}, {})], tasks("pods.grpo.disk=600"))
    assert short.ok is False and "grpo: requests.ephemeral-storage of team is 100Gi" in short.said


def test_a_study_that_cannot_fit_fails_before_it_is_submitted():
    def verdict(name, *assignments):
        study = load_study(name, list(assignments))
        nodes = plan(study)
        todo = [node for node in nodes if node.stage == "sft"]
        return fit(Situation(None, None, None, image="", image_vllm="", study=study, todo=todo))

    small = verdict("full-qwen25", "sft.per_device_batch=8")
    assert small.ok is False and "lower sft.cutoff_len or sft.per_device_batch" in small.said
    assert verdict("full-qwen25").ok is True
    assert verdict("full-qwen25-rehearsal").ok is True
    assert fit(Situation(None, None, None, image="", image_vllm="")).ok is True


def test_resources_on_different_nodes_do_not_add_up():
    apart = [node(memory="4Gi", **{"nvidia.com/gpu": "8"}), node()]
    assert nodes_verdict(apart, tasks("pods.grpo.gpus=1")).ok is False


@pytest.mark.parametrize(
    "unusable",
    [
        node(ready="False"),
        node(unschedulable=True),
        node(taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]),
    ],
)
def test_a_node_that_takes_no_pods_does_not_count(unusable):
    assert nodes_verdict([unusable], tasks()).ok is False


def test_a_gpu_node_s_usual_taint_does_not_keep_its_pods_away():
    tainted = node(taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], **{"nvidia.com/gpu": "1"})
    assert nodes_verdict([tainted], tasks()).ok is True


def test_a_quota_that_is_too_small_fails_and_one_that_is_in_use_only_warns():
    small = quotas_verdict([quota({"requests.memory": "4Gi"}, {"requests.memory": "0"})], tasks())
    assert small.ok is False
    assert "grpo: requests.memory of team is 4Gi" in small.said
    busy = quotas_verdict([quota({"requests.memory": "16Gi"}, {"requests.memory": "12Gi"})], tasks())
    assert busy.ok is True
    assert "pods will wait: " in busy.said and "grpo: requests.memory of team is 16Gi, 12Gi of it used" in busy.said
    assert quotas_verdict([quota({"pods": "10"}, {"pods": "2"})], tasks()).ok is True
    assert quotas_verdict([], tasks()).said == "none set"


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("localhost:5000/rlgen/stages@sha256:abc", ("localhost:5000", "rlgen/stages", "sha256:abc")),
        ("ghcr.io/rlgen-k8s/stages:0.1.0", ("ghcr.io", "rlgen-k8s/stages", "0.1.0")),
        ("ghcr.io/rlgen-k8s/stages:0.1.0@sha256:abc", ("ghcr.io", "rlgen-k8s/stages", "sha256:abc")),
        ("minio/minio", ("registry-1.docker.io", "minio/minio", "latest")),
        ("postgres:15", ("registry-1.docker.io", "library/postgres", "15")),
    ],
)
def test_an_image_reference_is_read_as_container_runtimes_do(image, parts):
    assert split(image) == parts


def test_a_study_on_vllm_needs_an_image_with_it():
    situation = Situation(None, None, None, image="a:1", image_vllm="", todo=plan(load_study("full-qwen3")))
    found = image_check(situation)
    assert found.ok is False
    assert found.said.startswith("traces-1 runs on vLLM") and "`VLLM=1 make images`" in found.said


def test_an_image_on_a_node_is_found_by_its_reference():
    assert holds(node(), "localhost:5000/rlgen/stages@sha256:abc")
    assert not holds(node(), "localhost:5000/rlgen/stages@sha256:other")


def test_an_object_lacks_keys_that_are_absent_or_empty():
    assert lacking({"data": {"access-key": "eA==", "secret-key": ""}}, ("access-key", "secret-key")) == ["secret-key"]
    assert lacking({}, ("access-key",)) == ["access-key"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2", 2),
        ("24Gi", 24 * 2**30),
        ("24678Ki", 24678 * 1024),
        ("1e3", 1000),
        ("1k", 1000),
        ("3E", 3e18),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text, number):
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "Gi", "2GB", "two"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(UserError, match="expected a number"):
        quantity(text)

"""Whether a gang, or a pod with GPUs, can ever be let in, said before it is submitted."""

from types import SimpleNamespace

import pytest

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.argo.doctor.queue import queue as check
from rlgen_k8s.runners.argo.doctor.queue import queue_verdict
from rlgen_k8s.study.load import load_study

QUOTA = {"cpu": "2", "memory": "10Gi", "ephemeral-storage": "8Gi", "nvidia.com/gpu": "4"}


def tasks(*more):
    shared = ["sft.processes=2", "sft.deepspeed_stage=2", "sft.per_device_batch=64", "pods.sft.nodes=2"]
    return plan(load_study("tiny", [*shared, *more]))


def queue(cohort=None, **quota):
    resources = [{"name": name, "nominalQuota": amount} for name, amount in (QUOTA | quota).items()]
    group = {"flavors": [{"name": "default", "resources": resources}]}
    return {"metadata": {"name": "rlgen-stages"}, "spec": {"resourceGroups": [group], "cohortName": cohort}}


def test_a_gang_that_just_fits_is_let_in():
    assert queue_verdict(queue(), tasks("pods.sft.gpus=2")).ok is True


@pytest.mark.parametrize(
    ("short", "words"),
    [
        ({"cpu": "1500m"}, "sft: 1.8 cpu, of 1.5 cpu"),
        ({"memory": "9Gi"}, "sft: 10 GiB of memory, of 9 GiB of memory"),
        ({"ephemeral-storage": "7Gi"}, "sft: 8 GiB of ephemeral-storage, of 7 GiB"),
        ({"nvidia.com/gpu": "3"}, "sft: 4 nvidia.com/gpu, of 3 nvidia.com/gpu"),
    ],
)
def test_all_pods_together_are_held_against_the_quota(short, words):
    verdict = queue_verdict(queue(**short), tasks("pods.sft.gpus=2"))
    assert verdict.ok is False
    assert words in verdict.said


@pytest.mark.parametrize(
    ("short", "words"),
    [
        ({"nvidia.com/gpu": "1"}, "evaluate: 2 nvidia.com/gpu, of 1 nvidia.com/gpu"),
        ({"cpu": "900m"}, "evaluate: 0.91 cpu, of 0.9 cpu"),  # Argo's container beside it
    ],
)
def test_a_single_pod_that_asks_for_gpus_is_held_against_it_and_no_other_pod(short, words):
    alone = plan(load_study("tiny", ["pods.evaluate.gpus=2"]))
    assert queue_verdict(queue(), alone).ok is True
    verdict = queue_verdict(queue(**short), alone)
    assert verdict.ok is False
    assert words in verdict.said and verdict.said.count("evaluate") == 1
    assert queue_verdict(queue(**short), plan(load_study("tiny"))).ok is True


def test_what_may_be_borrowed_is_no_reason_to_refuse():
    assert queue_verdict(queue(cohort="all", cpu="1"), tasks()).ok is None


def test_a_platform_without_a_queue_takes_no_gang_and_anything_else():
    nowhere = SimpleNamespace(platform=SimpleNamespace(queue=""), todo=tasks())
    verdict = check(nowhere)
    assert verdict.ok is False
    assert "pods.sft.nodes=2" in verdict.said and "queues.enabled=true" in verdict.said
    assert check(SimpleNamespace(platform=nowhere.platform, todo=plan(load_study("tiny")))).ok is True
    on_gpus = plan(load_study("tiny", ["pods.evaluate.gpus=2"]))
    assert check(SimpleNamespace(platform=nowhere.platform, todo=on_gpus)).ok is True

"""Why a pod waits, from the pod and its events as the API server gave them."""

import pytest

from rlgen_k8s.runners.argo.pending import by_pod, reason


def pod(*conditions, **statuses):
    return {"metadata": {"name": "p"}, "status": {"conditions": list(conditions), **statuses}}


def condition(kind, status, reason="", message=""):
    return {"type": kind, "status": status, "reason": reason, "message": message}


def event(reason, message, at="2026-11-21T09:30:00Z", name="p"):
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "involvedObject": {"name": name},
        "metadata": {},
    }


def test_a_pod_whose_image_cannot_be_pulled_says_so(recorded):
    seen = recorded("image-missing-pod")
    said = reason(seen["pod"], seen["events"])
    assert said.startswith(("ImagePullBackOff: Back-off pulling image", "ErrImagePull: "))
    assert "\n" not in said


def test_a_pod_without_room_says_what_there_is_too_little_of():
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    full = pod(condition("PodScheduled", "False", "Unschedulable", message))
    assert reason(full, []) == f"Unschedulable: {message}"


def test_a_pod_that_only_starts_says_nothing():
    waiting = [{"state": {"waiting": {"reason": "PodInitializing"}}}]
    assert reason(pod(condition("PodScheduled", "True"), containerStatuses=waiting), []) == ""


def test_what_kubernetes_warned_of_last_counts_while_a_pod_starts():
    waiting = [{"state": {"waiting": {"reason": "ContainerCreating"}}}]
    events = [
        event("FailedMount", 'secret "rlgen-store" not found', at="2026-11-21T09:31:00Z"),
        event("FailedScheduling", "0/1 nodes are available", at="2026-11-21T09:30:00Z"),
        event("Failed", "of another pod", name="q", at="2026-11-21T09:33:00Z"),
    ]
    said = reason(pod(condition("PodScheduled", "True"), containerStatuses=waiting), by_pod(events)["p"])
    assert said == 'FailedMount: secret "rlgen-store" not found'


@pytest.mark.parametrize("missing", ["access-key", "secret-key"])
def test_a_secret_s_missing_key_is_named(missing):
    waiting = {
        "reason": "CreateContainerConfigError",
        "message": f"couldn't find key {missing} in Secret rlgen/rlgen-store",
    }
    assert missing in reason(pod(containerStatuses=[{"state": {"waiting": waiting}}]), [])

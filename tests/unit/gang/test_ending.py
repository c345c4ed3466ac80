"""Which of a gang's pods tells how it ended."""

import pytest
from tests.unit.gang.conftest import jobset, pod

from rlgen_k8s.runners.gang.ending import members, outcome


def failed(*pods):
    ended = jobset() | {"status": {"terminalState": "Failed", "conditions": [{"type": "Failed", "message": "why"}]}}
    return outcome(ended, members(pods))


def test_the_first_that_failed_tells_whatever_its_number():
    code, said = failed(pod(0, 1, after=12, said="connection closed by peer"), pod(1, 2, after=11, said="bad setting"))
    assert (code, said) == (2, "node 1: exit code 2 after 3600 s: bad setting")


def test_in_one_second_a_reason_of_its_own_comes_before_what_may_be_a_consequence():
    assert failed(pod(0, 1), pod(1, 2))[0] == 2


def test_a_pod_that_ended_well_is_no_reason():
    assert failed(pod(1, 0, after=1), pod(0, 2, after=2))[0] == 2


@pytest.mark.parametrize(("code", "gang"), [(1, 75), (75, 75), (143, 143), (137, 137), (2, 2)])
def test_what_may_be_the_loss_of_another_pod_may_be_tried_again(code, gang):
    assert failed(pod(0, code))[0] == gang


def test_without_a_pod_the_jobset_tells():
    assert failed() == (75, "no pod says why: why")


def test_a_pod_that_used_too_much_memory_says_what_argo_does():
    assert "OOMKilled" in failed(pod(1, 137, reason="OOMKilled"))[1]


def test_a_pod_that_still_runs_has_no_end():
    running = {"status": {"containerStatuses": [{"state": {"running": {}}}]}}
    assert members([running, {"status": {}}]) == []

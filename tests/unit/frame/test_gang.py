"""A stage that several pods run: the first makes the result, the others help."""

import pytest

from rlgen_k8s.stages.frame.scratch import scratch_folder
from rlgen_k8s.stages.gang import ALONE, Gang, gang_of, shared_token


def member(rank):
    return {"NNODES": "2", "NODE_RANK": str(rank), "MASTER_ADDR": "sft-node-0-0.sft", "MASTER_PORT": "29500"}


def test_a_pod_knows_which_of_how_many_it_is():
    assert gang_of(member(1)) == Gang(2, 1, "sft-node-0-0.sft", 29500)
    assert gang_of(member(1)).helps and not gang_of(member(0)).helps
    assert gang_of({}) is ALONE and not ALONE.helps


def test_pods_of_a_gang_know_one_token_and_have_their_scratch_at_one_path(tmp_path):
    folders, tokens = [], []
    for rank in range(2):
        environ = member(rank) | {"MINIO_SECRET_KEY": "secret", "RLGEN_SCRATCH": str(tmp_path)}
        with scratch_folder(environ) as folder:
            folders.append(folder)
        tokens.append(shared_token(environ))
    assert folders[0] == folders[1] and tokens[0] == tokens[1]
    assert tokens[0] != shared_token(member(0) | {"MINIO_SECRET_KEY": "another"})
    assert tokens[0] != shared_token(member(0) | {"MINIO_SECRET_KEY": "secret", "MASTER_ADDR": "another"})
    assert shared_token({}) != shared_token({})


def test_only_the_first_pod_publishes_and_says_how_far_it_is(pod):
    address = f"counting/{pod.key()}"
    pod.environ = member(1)
    helped = pod.run(pod.arguments())
    assert helped.returncode == 0, helped.stderr
    assert helped.stdout.endswith(f"count: {address} left to the first pod to publish\n")
    assert pod.store.manifest(address) is None

    pod.environ = member(0)
    made = pod.run(pod.arguments())
    assert made.returncode == 0, made.stderr
    assert pod.store.manifest(address) is not None
    assert [line for line in made.stdout.splitlines() if line.startswith("progress: ")][-1] == "progress: 5/5"


def test_a_helper_that_waits_is_not_taken_for_one_that_hangs(pod):
    pod.environ = member(1) | {"RLGEN_PATIENCE": "0.001"}
    assert pod.run(pod.arguments(steps=2, pause=0.5)).returncode == 0


@pytest.mark.parametrize("rank", [0, 1])
def test_failures_are_counted_once_for_all_by_the_launcher(pod, rank):
    pod.environ = member(rank) | {"RLGEN_SUBMISSION": "counting-1"}
    done = pod.run(pod.arguments(ending="try-again"))
    assert (done.returncode, done.stderr) == (75, "the hub did not answer\n")
    assert pod.store.blobs.children(f"counting/{pod.key(ending='try-again')}/failures") == []

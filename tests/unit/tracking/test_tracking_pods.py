"""Pods of one submission, each with a recorder of its own, and the exit handler, on a real MLflow database."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from rlgen_k8s.store.folder import FolderBlobs
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import handover, spool
from rlgen_k8s.tracking.close import close
from rlgen_k8s.tracking.events import Node
from rlgen_k8s.tracking.mlflow_store import Tracking, connect, find_runs, model_id
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.record import submission_run
from rlgen_k8s.tracking.replay import send
from rlgen_k8s.tracking.stage_run import open_stage_run
from rlgen_k8s.tracking.submission import PLATFORM, WORKFLOW, announce_submission

SUBMISSION = "small-20260131-120000"
MODEL = "model/" + "ab" * 16
AT = "2026-01-31T12:00:00Z"
TAGS = {PLATFORM: "platform-1", WORKFLOW: "small-1a2b3c4d"}
Environ = dict[str, str]
T = TypeVar("T")


def store_of(tmp_path: Path) -> Store:
    return Store(FolderBlobs(tmp_path / "store"))


def pod(environ: Environ, tmp_path: Path, name: str) -> Environ:
    """A pod's environment: a home of its own, the same MLflow and store."""
    return {
        "RLGEN_HOME": str(tmp_path / name),
        "RLGEN_STORE": str(tmp_path / "store"),
        "RLGEN_SUBMISSION": SUBMISSION,
        "MLFLOW_TRACKING_URI": tracking_uri(environ),
        "RLGEN_POD": f"small-{name}",
        "RLGEN_NODE": "node-1",
        "RLGEN_IMAGE": "stages@sha256:12",
    }


def connected(environ: Environ, tmp_path: Path) -> Tracking:
    return connect(tracking_uri(environ), spool_folder(environ), store_of(tmp_path))


def at_once(actions: list[Callable[[], T]]) -> list[T]:
    """The values of `actions`, all begun together."""
    gate, values = threading.Barrier(len(actions)), list[T]()

    def run(action: Callable[[], T]) -> None:
        gate.wait()
        values.append(action())

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values) == len(actions)
    return values


def stage(environ: Environ, task: str) -> None:
    """A stage that logs and is done; its events stay in its pod's spool."""
    run = open_stage_run(task, task, "cd" * 16, {"rate": 1.0}, {}, environ)
    run.log({"loss": 1.5}, 1)
    run.finish("done", metrics={"duration_seconds": 7.0, "gpu_seconds": 14.0})


def only(tracking: Tracking, **tags: str) -> Run:
    (run,) = find_runs(tracking, **tags)
    return run


def announce(store: Store, address: str = MODEL) -> None:
    plan = [Node(task="sft", address=address, verdict="run")]
    announce_submission(SUBMISSION, "small", {"seed": 3}, plan, store, TAGS)


def test_pods_that_begin_together_agree_on_one_run_and_one_model(environ: Environ, tmp_path: Path) -> None:
    connect(tracking_uri(environ), spool_folder(environ))  # the database, which only users' machines make
    announce(store_of(tmp_path))
    recorders = [connected(environ, tmp_path) for _ in range(4)]
    runs = at_once([lambda one=one: submission_run(one, SUBMISSION, spool.now_ms()) for one in recorders])
    models = at_once([lambda one=one: model_id(one, MODEL, "small") for one in recorders])
    assert len(set(runs)) == len(set(models)) == 1
    parent = only(recorders[0], submission=SUBMISSION)
    assert parent.info.run_id == runs[0]
    assert parent.data.params["seed"] == "3"
    assert parent.data.tags["rlgen.node.sft"] == f"run {MODEL}"
    ids = [one.experiment_id for one in recorders[0].client.search_experiments()]
    assert [one.model_id for one in recorders[0].client.search_logged_models(ids)] == [models[0]]


def test_a_model_that_mlflow_lost_is_registered_again(environ: Environ, tmp_path: Path) -> None:
    connect(tracking_uri(environ), spool_folder(environ))
    name = handover.model_name(tracking_uri(environ), MODEL)
    store_of(tmp_path).blobs.put_new(name, b"m-0123456789abcdef0123456789abcdef")
    made = model_id(connected(environ, tmp_path), MODEL, "small")
    assert store_of(tmp_path).blobs.read(name) == made.encode()


def test_what_pods_could_not_send_is_sent_once_by_the_exit_handler(environ: Environ, tmp_path: Path) -> None:
    store, (one, two) = store_of(tmp_path), [pod(environ, tmp_path, name) for name in ("one", "two")]
    announce(store, f"sft/{'cd' * 16}")
    for inside, task in ((one, "sft"), (two, "grpo")):
        stage(inside, task)
        handover.keep(store, SUBMISSION, spool_folder(inside))
    late = store.blobs.children(f"_tracking/{SUBMISSION}/spool")
    assert len(late) == 2
    connect(tracking_uri(environ), spool_folder(environ))
    assert close("done", one, wait=0)
    tracking = connected(environ, tmp_path)
    client = MlflowClient(tracking_uri(environ))
    for task in ("sft", "grpo"):
        run = only(tracking, task=task)
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {"loss": 1.5, "duration_seconds": 7.0, "gpu_seconds": 14.0}
        assert run.data.tags["rlgen.pod"] == f"small-{'one' if task == 'sft' else 'two'}"
        assert (run.data.tags["rlgen.node"], run.data.tags["rlgen.image"]) == ("node-1", "stages@sha256:12")
        assert run.data.tags["rlgen.address"] == f"{task}/{'cd' * 16}"
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 1
    parent = only(tracking, submission=SUBMISSION)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"sft.loss": 1.5, "sft.duration_seconds": 7.0, "sft.gpu_seconds": 14.0}
    assert SUBMISSION not in store.blobs.children("_tracking")
    assert close("failed", one, wait=0), "called again, as after a failure of Argo's own container"
    assert only(tracking, submission=SUBMISSION).info.status == "FINISHED"


def test_an_attempt_of_which_only_argo_knows_is_recorded_by_the_exit_handler_once(
    environ: Environ, tmp_path: Path
) -> None:
    connect(tracking_uri(environ), spool_folder(environ))
    store, known = store_of(tmp_path), pod(environ, tmp_path, "known")
    announce(store)
    open_stage_run("sft", "sft", "cd" * 16, {}, {}, known)  # and not a word more
    handover.keep(store, SUBMISSION, spool_folder(known))
    told = [
        {"displayName": "small-1a2b3c4d", "podName": "small-1a2b3c4d", "message": "", "finishedAt": AT},
        {"displayName": "sft", "podName": "small-sft-1", "message": "no more retries", "finishedAt": AT},
        {"displayName": "sft(0)", "podName": "small-gone", "message": 'the "node" was lost', "finishedAt": AT},
        {"displayName": "sft(1)", "podName": "small-known", "message": "evicted", "finishedAt": AT},
        {"displayName": "onExit(0)", "podName": "small-close", "message": "", "finishedAt": AT},
    ]

    for _ in range(2):
        assert close("failed", known | {"RLGEN_FAILURES": json.dumps(json.dumps(told))}, wait=0)

    tracking = connected(environ, tmp_path)
    unseen = only(tracking, pod="small-gone")
    assert unseen.info.status == "FAILED"
    assert unseen.info.end_time == 1769860800000
    assert unseen.data.tags["rlgen.message"] == 'the "node" was lost'
    assert unseen.data.tags["rlgen.address"] == MODEL
    assert unseen.data.tags["rlgen.attempt"] == "1"
    assert unseen.data.tags["mlflow.parentRunId"] == only(tracking, submission=SUBMISSION).info.run_id
    (seen,) = [run for run in find_runs(tracking, task="sft") if run.data.tags["rlgen.pod"] == "small-known"]
    assert seen.data.tags["rlgen.message"] == "evicted"
    assert len(find_runs(tracking, task="sft")) == 2


@pytest.mark.parametrize("told", ['"null"', "", "no JSON"])
def test_a_list_that_is_empty_or_none_records_nothing(environ: Environ, tmp_path: Path, told: str) -> None:
    connect(tracking_uri(environ), spool_folder(environ))
    announce(store_of(tmp_path))

    assert close("failed", pod(environ, tmp_path, "close") | {"RLGEN_FAILURES": told}, wait=0)

    assert find_runs(connected(environ, tmp_path), task="sft") == []


def test_a_run_whose_pod_is_gone_is_killed_by_the_next_attempt_and_by_the_exit_handler(
    environ: Environ, tmp_path: Path
) -> None:
    connect(tracking_uri(environ), spool_folder(environ))
    tracking = connected(environ, tmp_path)
    for name in ("first", "second"):
        inside = pod(environ, tmp_path, name)
        run = open_stage_run("sft", "sft", "cd" * 16, {}, {}, inside)
        send(spool_folder(inside), tracking)  # the writer's lock is held: it is at work
        assert run.writer is not None
        newest, *before = find_runs(tracking, task="sft")
        assert newest.info.status == "RUNNING"
        assert [one.info.status for one in before] == ["KILLED"] * len(before)
    assert close("failed", pod(environ, tmp_path, "close"), wait=0)
    assert [one.info.status for one in find_runs(tracking, task="sft")] == ["KILLED", "KILLED"]
    assert only(tracking, submission=SUBMISSION).info.status == "FAILED"


def test_mlflow_down_at_the_end_leaves_the_submission_to_the_next_exit_handler(
    environ: Environ, tmp_path: Path
) -> None:
    store, inside = store_of(tmp_path), pod(environ, tmp_path, "one")
    stage(inside, "sft")
    handover.keep(store, SUBMISSION, spool_folder(inside))
    assert not close("done", inside | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, wait=0)
    assert handover.closed(store) == {SUBMISSION: "done"}
    connect(tracking_uri(environ), spool_folder(environ))
    following = pod(environ, tmp_path, "next") | {"RLGEN_SUBMISSION": "small-20260131-130000"}
    assert close("done", following, wait=0)
    tracking = connected(environ, tmp_path)
    assert only(tracking, task="sft").info.status == "FINISHED"
    assert {one.info.status for one in find_runs(tracking, study="small")} == {"FINISHED"}
    assert handover.closed(store) == {}


def test_who_stopped_a_submission_is_right_about_its_end(environ: Environ, tmp_path: Path) -> None:
    store = store_of(tmp_path)
    handover.close(store, SUBMISSION, "killed")
    handover.close(store, SUBMISSION, "failed")
    assert handover.closed(store) == {SUBMISSION: "killed"}


def test_one_exit_handler_at_a_time_ends_a_submission(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    claims = at_once([lambda: handover.claim(store_of(tmp_path), SUBMISSION)] * 4)
    assert sorted(claims, key=bool) == [None, None, None, 1]
    handover.release(store, SUBMISSION, 1)
    assert handover.claim(store, SUBMISSION) == 1


def test_one_takes_over_from_an_exit_handler_that_died(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.blobs.put_new(f"_tracking/{SUBMISSION}/claims/9", b"0")
    claims = at_once([lambda: handover.claim(store_of(tmp_path), SUBMISSION)] * 4)
    assert sorted(claims, key=bool) == [None, None, None, 10]

"""How fast the platform on the current cluster is: a stage on Argo, a wide DAG, a submission, the store."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from kubernetes.watch import Watch
from tests.cluster.services import counting

from rlgen_k8s.runners.argo import status
from rlgen_k8s.runners.argo.api import Cluster, connect
from rlgen_k8s.runners.argo.platform import Platform, credentials, read_platform, shared_store
from rlgen_k8s.runners.argo.workflows import GROUP, PLURAL, VERSION, create, ended, phase_of
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.results import Store
from rlgen_k8s.store.s3 import S3Blobs
from rlgen_k8s.store.threads import AT_ONCE
from rlgen_k8s.study.settings import PodShape

ROOT = Path(__file__).parents[2]
RLGEN = str(Path(sys.executable).parent / "rlgen")
SHAPE = PodShape(cpu=0.1, memory=1, disk=1)
REPEATS = 3
STAGES = 200
FILES = [2**20] * 32 + [64 * 2**20] * 6
"""Bytes of the files that are copied: small ones, and some that are sent in parts."""
SOON = 1800


def main() -> int:
    """Print the table; exit code 1 if something is not as wanted."""
    cluster = connect()
    platform = read_platform(cluster)
    counting.keep_stage_files(cluster.core, cluster.namespace)
    with shared_store(cluster, platform) as store:
        up, down = copies(store)
        alone, on_argo = stage_seconds(cluster, platform)
        rows = [
            ("a stage on Argo, more than in a plain pod, s", on_argo - alone, "at most", 6.0),
            ("submit to its first pod, s", submit_seconds(cluster, platform), "at most", 20.0),
            (f"a DAG of {STAGES} empty stages, s", dag_seconds(cluster, platform), "at most", 900.0),
            ("up, of a plain S3 copy's bytes/s", up, "at least", 0.8),
            ("down, of a plain S3 copy's bytes/s", down, "at least", 0.8),
        ]
    good = [value <= wanted if side == "at most" else value >= wanted for _, value, side, wanted in rows]
    print(f"{'':<46}{'measured':>9} | wanted")
    for (name, value, side, wanted), fine in zip(rows, good, strict=True):
        print(f"{name:<46}{value:>9.2f} | {side} {wanted:g}{'' if fine else '   NO'}")
    return 0 if all(good) else 1


def run(cluster: Cluster, manifest: dict[str, Any]) -> float:
    """Run a workflow; the seconds from its creation to the end of its last stage."""
    began = time.time()
    assert create(cluster, manifest)
    name, watch = manifest["metadata"]["name"], Watch()
    listing, arguments = cluster.custom.list_namespaced_custom_object, (GROUP, VERSION, cluster.namespace, PLURAL)
    selector = {"field_selector": f"metadata.name={name}", "timeout_seconds": SOON}
    for event in watch.stream(listing, *arguments, **selector):
        if ended(event["object"]):
            watch.stop()
            last: dict[str, Any] = event["object"]
            assert phase_of(last) == "Succeeded", last["status"].get("message")
            stages = [attempt for task in status.task_names(last) for attempt in status.attempts(last, task)]
            return max(status.seconds(one["finishedAt"]) or 0.0 for one in stages) - began
    raise SystemExit(f"{name}: not ended within {SOON} s")


def stage_seconds(cluster: Cluster, platform: Platform) -> tuple[float, float]:
    """Seconds of an empty stage in a plain pod, and as a workflow of Argo's: the shortest of several of each."""
    alone, on_argo = [], []
    for _ in range(REPEATS):
        manifest = untracked([counting.node(steps=0, shape=SHAPE)], platform)
        alone.append(pod_seconds(cluster, plain_pod(cluster, manifest)))
        on_argo.append(run(cluster, untracked([counting.node(steps=0, shape=SHAPE)], platform)))
    print(f"a stage: {min(alone):.1f} s in a plain pod, {min(on_argo):.1f} s on Argo", flush=True)
    return min(alone), min(on_argo)


def untracked(nodes: list[Any], platform: Platform) -> dict[str, Any]:
    """Their workflow, of which MLflow is told nothing: the time of Python that imports MLflow is not asked for."""
    manifest = counting.workflow(nodes, platform)
    [submission] = [one for one in manifest["spec"]["arguments"]["parameters"] if one["name"] == "submission"]
    submission["value"] = ""
    return manifest


def plain_pod(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    """The workflow's stage as a pod that nobody but Kubernetes knows of."""
    spec = manifest["spec"]
    template = next(one for one in spec["templates"] if one["name"] == "counting")
    task = next(one for one in spec["templates"] if one["name"] == "study")["dag"]["tasks"][0]
    values = {f"{{{{inputs.parameters.{one['name']}}}}}": one["value"] for one in task["arguments"]["parameters"]}
    values |= {f"{{{{workflow.parameters.{one['name']}}}}}": one["value"] for one in spec["arguments"]["parameters"]}
    values |= {"{{=asInt(retries) + 1}}": "1"}

    def filled(text: str) -> str:
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    container = template["container"] | {"name": "main"}
    container["args"] = [filled(one) for one in container["args"]]
    container["env"] = [one | {"value": filled(one["value"])} if "value" in one else one for one in container["env"]]
    # Where the policies let it go where stages go.
    labels = {"workflows.argoproj.io/workflow": "none"}
    return {
        "metadata": {"generateName": "rlgen-bench-", "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": spec["serviceAccountName"],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": spec["securityContext"],
            "containers": [container],
            "volumes": template["volumes"],
        },
    }


def pod_seconds(cluster: Cluster, body: dict[str, Any]) -> float:
    """Seconds from a pod's creation to the end of its container."""
    began, watch = time.time(), Watch()
    name = cluster.core.create_namespaced_pod(cluster.namespace, body).metadata.name
    selector = {"field_selector": f"metadata.name={name}", "timeout_seconds": SOON}
    try:
        for event in watch.stream(cluster.core.list_namespaced_pod, cluster.namespace, **selector):
            statuses = event["object"].status.container_statuses or ()
            if statuses and (over := statuses[0].state.terminated):
                watch.stop()
                assert over.exit_code == 0, cluster.core.read_namespaced_pod_log(name, cluster.namespace)
                finished: datetime = over.finished_at
                return finished.timestamp() - began
    finally:
        cluster.core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=0)
    raise SystemExit(f"{name}: not ended within {SOON} s")


def submit_seconds(cluster: Cluster, platform: Platform) -> float:
    """Seconds from the command `rlgen submit` to the start of the first stage's container."""
    environment = dict(credentials(cluster, platform)) | {"RLGEN_NAMESPACE": cluster.namespace}
    command = [RLGEN, "submit", "tiny", "--set", f"seed={secrets.randbelow(10**9)}", "--until", "mirror"]
    began, watch = time.time(), Watch()
    said = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    name = said.partition(":")[0]
    selector = {"label_selector": f"workflows.argoproj.io/workflow={name}", "timeout_seconds": SOON}
    try:
        for event in watch.stream(cluster.core.list_namespaced_pod, cluster.namespace, **selector):
            for one in event["object"].status.container_statuses or ():
                if one.name == "main" and (running := one.state.running or one.state.terminated):
                    watch.stop()
                    return float(running.started_at.timestamp()) - began
    finally:
        subprocess.run([RLGEN, "stop", name], cwd=ROOT, env=environment, check=True, capture_output=True)
    raise SystemExit(f"{name}: no pod within {SOON} s")


def dag_seconds(cluster: Cluster, platform: Platform) -> float:
    """Seconds of a DAG of many empty stages, none of which waits for another."""
    nodes = [counting.node(f"count-{number}", steps=0, shape=SHAPE) for number in range(STAGES)]
    return run(cluster, untracked(nodes, platform))


def copies(store: Store) -> tuple[float, float]:
    """How fast results go up and down, as a share of a plain copy of the same files; the best of several of each."""
    times: dict[str, list[float]] = {"up": [], "down": [], "plain up": [], "plain down": []}
    with tempfile.TemporaryDirectory(prefix="rlgen-bench-") as folder:
        files = Path(folder) / "files"
        write_files(files)
        for number in range(REPEATS):
            for name, seconds in {**copy_ours(store, files), **copy_plainly(store, files)}.items():
                times[name].append(seconds)
            print(f"copies {number + 1} of {REPEATS}", flush=True)
    best = {name: min(seconds) for name, seconds in times.items()}
    for name, seconds in best.items():
        print(f"{name}: {sum(FILES) / seconds / 2**20:.0f} MiB/s", flush=True)
    return best["plain up"] / best["up"], best["plain down"] / best["down"]


def copy_ours(store: Store, files: Path) -> dict[str, float]:
    """Seconds of publishing the files as a result, and of fetching that, checksums included."""
    identity = Identity(stage="counting", version=1, settings={"bench": secrets.token_hex(8)}, inputs={})
    with tempfile.TemporaryDirectory(prefix="rlgen-bench-") as scratch:
        attempt = store.open_attempt(identity.address, Path(scratch))
        for file in files.iterdir():
            os.link(file, attempt.out / file.name)
        up = timed(lambda: store.publish(attempt, identity))
        store.close(attempt)
        down = timed(lambda: store.fetch(identity.address, Path(scratch) / "fetched"))
    store.blobs.remove(identity.address)
    return {"up": up, "down": down}


def copy_plainly(store: Store, files: Path) -> dict[str, float]:
    """The same with nothing but MinIO's client, as many files at once."""
    assert isinstance(store.blobs, S3Blobs)
    client, bucket, prefix = store.blobs.client, store.blobs.bucket, f"{store.blobs.prefix}/_bench"
    names = [file.name for file in files.iterdir()]
    with tempfile.TemporaryDirectory(prefix="rlgen-bench-") as scratch, ThreadPoolExecutor(AT_ONCE) as pool:

        def each(copy: Callable[[str, str], Any], folder: Path) -> None:
            list(pool.map(lambda name: copy(f"{prefix}/{name}", str(folder / name)), names))

        up = timed(lambda: each(lambda key, path: client.fput_object(bucket, key, path), files))
        down = timed(lambda: each(lambda key, path: client.fget_object(bucket, key, path), Path(scratch)))
    store.blobs.remove("_bench")
    return {"plain up": up, "plain down": down}


def write_files(folder: Path) -> None:
    """Files that nothing can make smaller."""
    folder.mkdir()
    for number, size in enumerate(FILES):
        (folder / f"{number}.bin").write_bytes(os.urandom(size))


def timed(action: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

"""The cluster's way from nothing to nothing, on a machine that runs none: started, started again, crashed, removed."""

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

HOME = Path.home()
STATE = Path(os.environ.get("XDG_STATE_HOME") or HOME / ".local" / "state") / "rlgen-k8s" / "cluster"
KUBECTL = Path(os.environ.get("XDG_CACHE_HOME") or HOME / ".cache") / "rlgen-k8s" / "bin" / "current" / "kubectl"
FOLDERS = ("/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/run/netns", "/usr/libexec/kubernetes")
SETTINGS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "vm/overcommit_memory", "kernel/panic_on_oops")
WAIT = "--timeout=90s"
WORKLOAD = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: work}
spec: {type: NodePort, selector: {app: work}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: work}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}]}
---
apiVersion: v1
kind: Pod
metadata: {name: work, labels: {app: work}}
spec:
  containers:
    - name: main
      image: IMAGE
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """The user's, with another cluster in it that is current."""
    path = tmp_path / "kubeconfig"
    other = {"clusters": [{"name": "other", "cluster": {"server": "https://127.0.0.1:1"}}]}
    contexts = {"contexts": [{"name": "other", "context": {"cluster": "other", "user": "other"}}]}
    rest = {"users": [{"name": "other", "user": {}}], "current-context": "other"}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config"} | other | contexts | rest))
    return path


@pytest.fixture
def no_cluster(command, kubeconfig) -> Iterator[None]:
    assert not STATE.exists(), "a cluster is there, and this test starts and removes one: `make cluster-down` first"
    yield
    command("down", KUBECONFIG=str(kubeconfig))


def run(*line: str | Path, text: str | None = None) -> str:
    return subprocess.run(line, input=text, capture_output=True, text=True, check=True).stdout


def traces() -> dict[str, list[str]]:
    """All that a cluster could leave on a machine."""
    processes = run("ps", "-eo", "args").splitlines()
    return {
        "processes": sorted(line for line in processes if str(STATE) in line),
        "interfaces": run("ip", "-br", "link").splitlines(),
        "addresses": run("ip", "-br", "-4", "address").splitlines(),
        "routes": run("ip", "route").splitlines(),
        "rules": run("nft", "-s", "list", "ruleset").splitlines(),
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(STATE) in line],
        "groups": [str(path) for path in Path("/sys/fs/cgroup").rglob("kubepods*")],
        "folders": [folder for folder in (*FOLDERS, str(STATE)) if Path(folder).exists()],
        "settings": [(Path("/proc/sys") / name).read_text() for name in SETTINGS],
    }


def pids() -> dict[str, int]:
    return {path.name: json.loads(path.read_text())["pid"] for path in (STATE / "processes").iterdir()}


def switch_off_and_on() -> None:
    """What a reboot does to a cluster: processes, mounts, interfaces, addresses and rules are gone, files stay."""
    groups = [path for path in Path("/sys/fs/cgroup").rglob("kubepods*") if path.is_dir()]
    inside = [int(pid) for group in groups for file in group.rglob("cgroup.procs") for pid in file.read_text().split()]
    shims = [int(line.split()[0]) for line in run("ps", "-eo", "pid,args").splitlines() if f"{STATE}/run/" in line]
    for pid in {*pids().values(), *inside, *shims}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for line in reversed([line for line in Path("/proc/self/mounts").read_text().splitlines() if str(STATE) in line]):
        run("umount", "--lazy", line.split()[1])
    run("nft", "flush", "ruleset")
    run("ip", "address", "delete", "10.245.0.1/32", "dev", "lo")


def kubectl(kubeconfig: Path, *arguments: str, text: str | None = None) -> str:
    return run(KUBECTL, f"--kubeconfig={kubeconfig}", *arguments, text=text)


def test_from_nothing_through_a_crash_to_nothing(command, no_cluster, kubeconfig):
    before = traces()

    # When it is started, its context is current in the user's kubeconfig and the node is ready
    first = command("up", KUBECONFIG=str(kubeconfig))
    assert first.code == 0, first.errors
    assert kubectl(kubeconfig, "config", "current-context").strip() == "rlgen-dev"
    assert kubectl(kubeconfig, "get", "nodes", "--no-headers").split()[1] == "Ready"

    # When it is started again, nothing is
    started = pids()
    again = command("up", KUBECONFIG=str(kubeconfig))
    assert again.code == 0, again.errors
    assert pids() == started

    # Given a pod with a volume, a service and a policy
    runtime = tomllib.loads((STATE / "config" / "containerd.toml").read_text())["plugins"]["io.containerd.grpc.v1.cri"]
    kubectl(kubeconfig, "apply", "-f", "-", text=WORKLOAD.replace("IMAGE", runtime["sandbox_image"]))
    kubectl(kubeconfig, "wait", "--for=condition=Ready", "pod/work", WAIT)

    # When every process of the cluster is killed, and it is started, it is as it was
    for pid in pids().values():
        os.kill(pid, signal.SIGKILL)
    healed = command("up", KUBECONFIG=str(kubeconfig))
    assert healed.code == 0, healed.errors
    assert not set(pids().values()) & set(started.values())
    kubectl(kubeconfig, "wait", "--for=condition=Ready", "pod/work", WAIT)

    # When the machine is switched off and on, and it is started, it is as it was
    switch_off_and_on()
    rebooted = command("up", KUBECONFIG=str(kubeconfig))
    assert rebooted.code == 0, rebooted.errors
    kubectl(kubeconfig, "wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/work", WAIT)
    kubectl(kubeconfig, "wait", "--for=condition=Ready", "pod/work", WAIT)

    # When it is removed, nothing is left, and the other cluster is in the kubeconfig as before
    removed = command("down", KUBECONFIG=str(kubeconfig))
    assert removed.code == 0, removed.errors
    assert traces() == before
    assert kubectl(kubeconfig, "config", "get-contexts", "-o", "name").split() == ["other"]


def test_removing_what_is_not_there_says_so(command, no_cluster):
    ended = command("down")
    assert (ended.code, ended.out) == (0, "cluster rlgen-dev: not there\n")

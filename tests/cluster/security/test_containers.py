"""What a stage's container is, and what it can write to."""

import json

import pytest
from kubernetes.client import ApiException

pytestmark = pytest.mark.timeout(400)
STATUS = "import pathlib, sys; print(pathlib.Path('/proc/self/status').read_text())"
# Every place of its own in the file system that it can write to.
WRITABLE = """
import os
for line in open("/proc/self/mounts"):
    path = line.split()[1]
    if os.access(path, os.W_OK):
        print(path)
"""
OWN = {"/scratch", "/cache", "/tmp", "/dev/shm", "/dev/termination-log", "/run/argo"}
"""Volumes, the node's cache among them, the place for last words, and where Argo's executor and the stage meet."""
# Whether a new file can be made in a folder, or beside a module of ours.
TRY = """
import sys, rlgen_k8s
from pathlib import Path
for folder in [*sys.argv[1:], str(Path(rlgen_k8s.__file__).parent)]:
    path = Path(folder) / "rlgen-probe"
    try:
        path.write_text("")
    except OSError as error:
        print(folder, error.strerror)
    else:
        path.unlink()
        print(folder, "written")
"""


def containers(spec):
    return [*spec.get("initContainers", ()), *spec["containers"]]


def test_given_a_stage_pod_then_none_of_its_containers_has_a_right_that_it_could_do_without(stage):
    pod = stage.spec["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(stage.spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    names = [container["name"] for container in containers(stage.spec)]
    assert names == ["init", "wait", "main"]
    for container in containers(stage.spec):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True, container["name"]
        assert context["allowPrivilegeEscalation"] is False, container["name"]
        assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
        assert not context.get("privileged"), container["name"]
        assert context.get("runAsUser", pod["runAsUser"]) > 0, container["name"]
        assert not [mount for mount in container["volumeMounts"] if mount.get("mountPropagation")]


def test_given_a_stage_when_it_looks_at_itself_then_the_kernel_agrees(stage):
    told = dict(line.split(":\t") for line in stage.python(STATUS).splitlines() if ":\t" in line)

    assert set(told["Uid"].split()) == {"65532"}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(told[kind], 16) == 0, kind
    assert told["NoNewPrivs"] == "1"
    assert told["Seccomp"] == "2"


def test_given_a_stage_pod_then_the_stage_has_no_token_and_argo_has_only_the_executors(stage, platform):
    assert stage.spec["automountServiceAccountToken"] is False
    secret = {volume["name"]: volume["secret"]["secretName"] for volume in stage.spec["volumes"] if "secret" in volume}
    tokens = {name for name, of in secret.items() if of.endswith("token")}
    assert {secret[name] for name in tokens} == {f"{platform.executor_service_account}.service-account-token"}
    assert not [volume for volume in stage.spec["volumes"] if "projected" in volume or "hostPath" in volume]
    main = next(container for container in stage.spec["containers"] if container["name"] == "main")
    assert not set(secret) & {mount["name"] for mount in main["volumeMounts"]}
    assert "kubernetes.io" not in stage.python(
        "import os; print(*os.walk('/var/run/secrets'), *os.walk('/run/secrets'))"
    )


def test_given_a_stage_then_it_can_write_to_its_own_volumes_and_to_no_other_mount(stage):
    mounts = [line.split() for line in stage.python("print(open('/proc/self/mounts').read().strip())").splitlines()]
    writable = {path.replace("/var/run/", "/run/") for path in stage.python(WRITABLE).split()}

    root = next(mount for mount in mounts if mount[1] == "/")
    assert "ro" in root[3].split(",")
    # The kernel's own files take what their owner, the stage's user, may tell about its own processes.
    assert {path for path in writable if not path.startswith(("/proc", "/dev/pts", "/dev/mqueue"))} == OWN


def test_given_a_stage_when_it_writes_outside_its_volumes_then_it_is_refused(stage):
    outside = ["/", "/etc", "/opt", "/usr/bin", "/var", "/var/run", "/home", "/root", "/dev", "/sys", "/proc"]

    said = dict(line.split(" ", 1) for line in stage.python(TRY, *outside, "/scratch", "/tmp", "/dev/shm").splitlines())

    assert {folder for folder, what in said.items() if what == "written"} == {"/scratch", "/tmp", "/dev/shm"}
    assert len(said) == len(outside) + 4


LOOSER = {
    "privileged": ("main", {"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}),
    "root": ("main", {"securityContext": {"runAsUser": 0}}),
    "escalation": ("main", {"securityContext": {"allowPrivilegeEscalation": True}}),
    "capability": ("main", {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}),
    "no seccomp": ("main", {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    "host's files": ("pod", {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
    "host's network": ("pod", {"hostNetwork": True}),
    "host's processes": ("pod", {"hostPID": True}),
}


def pod_like(stage, change=None):
    """The stage's pod under another name, changed."""
    spec = json.loads(json.dumps({**stage.spec, "nodeName": None}))
    if change:
        where, values = change
        [main] = [container for container in spec["containers"] if container["name"] == "main"]
        target = spec if where == "pod" else main
        for name, value in values.items():
            if isinstance(value, dict):
                value = {**target[name], **value}
            target[name] = [*target[name], *value] if isinstance(value, list) else value
    return {"metadata": {"generateName": "rlgen-test-"}, "spec": spec}


def test_given_the_namespace_when_a_pod_like_a_stages_is_made_then_it_is_let_in(cluster, stage):
    cluster.core.create_namespaced_pod(cluster.namespace, pod_like(stage), dry_run="All")


@pytest.mark.parametrize("name", LOOSER)
def test_given_the_namespace_when_a_pod_asks_for_more_then_it_is_refused(cluster, stage, name):
    with pytest.raises(ApiException) as refused:
        cluster.core.create_namespaced_pod(cluster.namespace, pod_like(stage, LOOSER[name]), dry_run="All")

    assert refused.value.status == 403
    assert 'violates PodSecurity \\"restricted' in refused.value.body

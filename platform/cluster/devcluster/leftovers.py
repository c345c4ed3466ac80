"""Remove what pods leave on a machine, without asking a containerd or a kubelet that may be gone already."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from devcluster.output import UserError
from devcluster.paths import CGROUPS, CONTAINERD_SOCKET, NODE_CACHE, PODS, RUN, STATE

_PATIENCE = 30
_CONTAINER_LOGS = Path("/var/log/containers")
_CNI_RESULTS = Path("/var/lib/cni/results")
_FOLDERS = (_CONTAINER_LOGS, _CNI_RESULTS.parent, Path("/var/lib/kubelet"), Path("/run/containerd"))
"""Outside the cluster's own folder, because their places are fixed in the programs."""
_ABSENT = STATE / "absent-before.json"
_SANDBOXES = STATE / "containerd" / "io.containerd.grpc.v1.cri" / "sandboxes"


def remember_machine() -> None:
    """Which folders were not there before the cluster: they go with it."""
    if not _ABSENT.exists():
        _ABSENT.write_text(json.dumps([str(folder) for folder in _FOLDERS if not folder.exists()]))


def was_started() -> bool:
    """Whether a cluster of this state folder has touched the machine; `up` may have refused before it did."""
    return _ABSENT.exists()


def end_pods() -> None:
    """Kill what runs in pods, and containerd's shims, which outlive it; then wait until none is left."""
    until = time.monotonic() + _PATIENCE
    while pids := [*_pod_processes(), *_shims()]:
        if time.monotonic() > until:
            raise UserError(f"processes {pids}: still there {_PATIENCE} s after they were killed")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def remove_traces() -> None:
    """Mounts, network name spaces (and with them interfaces), control groups, links and leases."""
    sockets = [Path(file.read_text().removeprefix("unix://")) for file in RUN.glob("containerd/*/*/*/address")]
    for mount in reversed(list(_mounts())):
        subprocess.run(["umount", mount], check=True)
    for socket in sockets:
        socket.unlink(missing_ok=True)
    for group in _pod_groups():
        for path, _, _ in os.walk(group, topdown=False):
            os.rmdir(path)
    for link in _CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(STATE):
            link.unlink()
    for sandbox in _SANDBOXES.glob("*"):
        for result in _CNI_RESULTS.glob(f"*-{sandbox.name}-*"):
            result.unlink()
    for absent in json.loads(_ABSENT.read_text()) if _ABSENT.exists() else []:
        _remove_empty(Path(absent))
    _remove_interfaces()
    shutil.rmtree(NODE_CACHE, ignore_errors=True)
    shutil.rmtree(STATE)


def _remove_empty(top: Path) -> None:
    """The folder, if nothing but folders and sockets nobody answers is left in it."""
    for path, _, files in os.walk(top, topdown=False):
        for file in map(Path(path).joinpath, files):
            if file.is_socket():
                file.unlink()
        if not any(Path(path).iterdir()):
            os.rmdir(path)


def _pod_groups() -> list[Path]:
    return [path for path in (CGROUPS / "kubepods", *CGROUPS.glob("*/kubepods")) if path.exists()]


def _pod_processes() -> Iterator[int]:
    for group in _pod_groups():
        for file in group.rglob("cgroup.procs"):
            yield from map(int, file.read_text().split())


def _shims() -> Iterator[int]:
    """By the socket of the containerd they belong to: a machine may run others."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"containerd-shim" in command[0] and str(CONTAINERD_SOCKET).encode() in command:
            yield int(entry.name)


def _mounts() -> Iterator[str]:
    """Below the cluster's folder, in the order in which they were mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        path = line.split()[1].encode().decode("unicode_escape")
        if Path(path).is_relative_to(STATE):
            yield path


def _remove_interfaces() -> None:
    """The node's ends of pods' interfaces, and with them their routes.

    The kernel does so itself once a pod's network name space is gone, but a killed pod's unanswered connection keeps
    that for minutes.
    """
    for interface in _pod_interfaces():
        # The kernel may have been faster.
        subprocess.run(["ip", "link", "delete", interface], capture_output=True)
    if left := _pod_interfaces():
        raise UserError(f"interfaces of pods: still there after they were deleted: {', '.join(left)}")


def _pod_interfaces() -> list[str]:
    """Those that routes to pods go through."""
    command = ["ip", "-4", "-json", "route", "list", "root", PODS]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted({route["dev"] for route in json.loads(listed or "[]")})

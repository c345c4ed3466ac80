"""What a machine must have. Each thing it lacks is one line, and all are said at once, before anything is changed."""

import ipaddress
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from devcluster.build import lacking_go, missing
from devcluster.output import UserError, step
from devcluster.paths import CACHE, CGROUPS, NODE_IP, PODS, SERVICES, STATE
from devcluster.processes import Service, alive, running_as_it_should

GIB = 1 << 30
SPACE_TO_RUN = 15 * GIB
SPACE_TO_BUILD = 12 * GIB
MEMORY_TO_RUN = 10 * GIB
"""Of the tiny study GRPO asks for 8 GiB, and the platform for one."""
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
}
"""Programs and the Debian packages they come in."""
CNI_PACKAGE = "containernetworking-plugins"
CONTROLLERS = {"cpu", "cpuset", "memory", "pids"}


def require_root() -> None:
    """Everything else is looked at as root."""
    if os.geteuid() != 0:
        raise UserError(f"user id {os.geteuid()}: the cluster's processes need root; be root, or start Docker")


def install_packages(cni_plugins: tuple[Path, ...]) -> None:
    """Install what is missing with apt-get, or name it where there is none."""
    packages = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    if not any((folder / "ptp").exists() for folder in cni_plugins):
        packages.add(CNI_PACKAGE)
    if not packages:
        return
    names = sorted(packages)
    if shutil.which("apt-get") is None:
        raise UserError(f"packages {' '.join(names)}: not installed, and there is no apt-get; install them")
    with step(f"installed {' '.join(names)}"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", *names]):
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(["apt-get", "-q", *command], env=environment, capture_output=True, text=True)
            if done.returncode:
                raise UserError(f"apt-get {' '.join(command)}: {(done.stderr.strip() or 'no output').splitlines()[-1]}")


def require_machine(services: tuple[Service, ...], components: tuple[str, ...]) -> None:
    """Refuse with a line for each thing that is missing or taken; `components` are what is to be built."""
    to_start = [service for service in services if not running_as_it_should(service)]
    kernel = [*_cgroups(), *_overlay(), *_tables()]
    problems = [*_go(components), *_space(components), *_memory(), *kernel, *_ports(to_start), *_routes()]
    if problems:
        raise UserError(*problems)


def _go(components: tuple[str, ...]) -> Iterator[str]:
    if missing(components):
        yield from lacking_go()


def _space(components: tuple[str, ...]) -> Iterator[str]:
    """A cluster that is there has taken its room already."""
    needed = {} if (STATE / "etcd").exists() else {STATE: SPACE_TO_RUN}
    if missing(components):
        needed[CACHE] = SPACE_TO_BUILD
    by_device: dict[int, list[Path]] = {}
    for path in needed:
        path.mkdir(parents=True, exist_ok=True)
        by_device.setdefault(path.stat().st_dev, []).append(path)
    for paths in by_device.values():
        free, want = shutil.disk_usage(paths[0]).free, sum(needed[path] for path in paths)
        if free < want:
            yield f"disk of {paths[0]}: {free / GIB:.1f} GiB free, expected {want / GIB:.0f} GiB; make room"


def _memory() -> Iterator[str]:
    """As kubelet counts it."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    total = int(found[1]) * 1024 if found else 0
    if total < MEMORY_TO_RUN:
        yield f"memory: {total / GIB:.1f} GiB, expected {MEMORY_TO_RUN / GIB:.0f} GiB; take a larger machine"


def _cgroups() -> Iterator[str]:
    unified = CGROUPS / "cgroup.controllers"
    if unified.exists():
        found = set(unified.read_text().split())
    else:
        found = {name for name in CONTROLLERS if (CGROUPS / name).is_dir()}
    if lacking := CONTROLLERS - found:
        yield f"control groups: no {', '.join(sorted(lacking))} under {CGROUPS}; mount them"


def _overlay() -> Iterator[str]:
    """By doing it: the folder may lie on a file system that cannot carry an overlay."""
    STATE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=STATE) as folder:
        layers = {name: Path(folder) / name for name in ("lower", "upper", "work", "merged")}
        for layer in layers.values():
            layer.mkdir()
        options = f"lowerdir={layers['lower']},upperdir={layers['upper']},workdir={layers['work']}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(layers["merged"])]
        done = subprocess.run(mount, capture_output=True, text=True)
        if done.returncode:
            yield f"overlayfs: cannot be mounted in {STATE}: {done.stderr.strip()}; move XDG_STATE_HOME to another disk"
        else:
            subprocess.run(["umount", str(layers["merged"])], check=True)


def _tables() -> Iterator[str]:
    """Listing a table makes the kernel load what it needs."""
    for command in ("iptables -w -t nat -L -n", "iptables -w -t filter -L -n", "nft list tables"):
        done = subprocess.run(command.split(), capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1]
            yield f"packet filter: `{command}` says {said!r}; the kernel needs nf_tables and nat"


def _ports(services: list[Service]) -> Iterator[str]:
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    holders: dict[int, tuple[str, int | None]] = {}
    for line in listening:
        process = re.search(r'\("([^"]+)",pid=(\d+)', line)
        port = int(line.split()[3].rpartition(":")[2])
        holders[port] = (process[1], int(process[2])) if process else ("a process of another namespace", None)
    for service in services:
        own = alive(service.pid_file)
        for port in service.ports:
            name, pid = holders.get(port, ("", own))
            if pid != own:
                yield f"port {port}: taken by {name}, pid {pid}; {service.name} needs it; end that process"


def _routes() -> Iterator[str]:
    wanted = [ipaddress.ip_network(network) for network in (PODS, SERVICES, f"{NODE_IP}/32")]
    routes = json.loads(subprocess.run(["ip", "-j", "-4", "route"], capture_output=True, text=True, check=True).stdout)
    for route in routes:
        if route["dst"] == "default" or route.get("dev", "").startswith("veth"):
            continue
        for network in wanted:
            if network.overlaps(ipaddress.ip_network(route["dst"], strict=False)):
                yield f"network {network}: the cluster needs it, and {route['dst']} is routed to {route.get('dev')}"

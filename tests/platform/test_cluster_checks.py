"""What a machine lacks is said at once, a line each, with exit code 2, and nothing is started."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """Folders of its own, so that nothing of a cluster that runs is looked at."""
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "KUBECONFIG": str(tmp_path / "kubeconfig")}


@pytest.fixture
def port_of_etcd() -> Iterator[None]:
    """Taken: by this test, or by the cluster that runs."""
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", 2379))
            taken.listen()
        yield


def mounted(command: str) -> tuple[str, ...]:
    """To run behind: the mount is seen by that process alone."""
    return ("unshare", "--mount", "sh", "-c", f'{command} && exec "$@"', "-")


def started(elsewhere: dict[str, str]) -> list[Path]:
    return list((Path(elsewhere["XDG_STATE_HOME"]) / "rlgen-k8s" / "cluster").glob("processes/*"))


def test_another_user_than_root_is_told_so(command, elsewhere):
    ended = command("up", user=65534, **elsewhere)
    assert ended.code == 2
    assert ended.errors == ["error: user id 65534: the cluster's processes need root; be root, or start Docker"]


def test_a_taken_port_is_named_with_its_holder(command, elsewhere, port_of_etcd):
    ended = command("up", **elsewhere)
    assert ended.code == 2
    (line,) = [line for line in ended.errors if "port 2379" in line]
    assert "taken by" in line and "pid" in line and line.endswith("etcd needs it; end that process")
    assert all(line.startswith("error: ") for line in ended.errors)
    assert not started(elsewhere)


def test_too_small_a_disk_is_named_with_what_is_expected(command, elsewhere, port_of_etcd, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small], check=True)
    try:
        ended = command("up", **elsewhere | {"XDG_STATE_HOME": str(small)})
    finally:
        subprocess.run(["umount", small], check=True)
    assert ended.code == 2
    (line,) = [line for line in ended.errors if "disk" in line]
    assert "0.1 GiB free, expected 15 GiB" in line


def test_a_file_system_that_carries_no_overlay_is_named(command, elsewhere, port_of_etcd, tmp_path):
    # The kernel stacks overlays two deep, and no deeper.
    mounted = [tmp_path]
    try:
        for number in range(2):
            layers = {name: tmp_path / f"{name}{number}" for name in ("upper", "work", "merged")}
            for layer in layers.values():
                layer.mkdir()
            options = f"lowerdir={mounted[-1]},upperdir={layers['upper']},workdir={layers['work']}"
            subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, layers["merged"]], check=True)
            mounted.append(layers["merged"])
        ended = command("up", **elsewhere | {"XDG_STATE_HOME": str(mounted[-1])})
    finally:
        for path in reversed(mounted[1:]):
            subprocess.run(["umount", path], check=True)
    assert ended.code == 2
    assert [line for line in ended.errors if line.startswith("error: overlayfs: cannot be mounted in")]


def test_missing_packages_are_named_where_apt_get_is_not(command, elsewhere, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "env").symlink_to("/usr/bin/env")
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    ended = command("up", **elsewhere, PATH=str(programs))
    (line,) = ended.errors
    head, _, tail = line.partition(": not installed, ")
    assert (ended.code, tail) == (2, "and there is no apt-get; install them")
    # Whether the CNI plug-ins are there is not seen on PATH.
    named = set(head.removeprefix("error: packages ").split()) - {"containernetworking-plugins"}
    assert named == {"containerd", "iproute2", "iptables", "nftables", "openssl", "runc"}


def test_missing_go_is_said_before_anything_is_started(command, elsewhere, port_of_etcd, tmp_path):
    without_go = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "go").exists()]
    changes = elsewhere | {"PATH": ":".join(without_go), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ended = command("up", **changes)
    assert ended.code == 2
    assert "error: go: expected 1.26 or later on PATH, found none; install it from https://go.dev/dl" in ended.errors
    assert not started(elsewhere)


def test_too_little_memory_is_named_with_what_is_expected(command, elsewhere, port_of_etcd, tmp_path):
    small = tmp_path / "meminfo"
    small.write_text(re.sub(r"(MemTotal: +)\d+", rf"\g<1>{6 << 20}", Path("/proc/meminfo").read_text()))
    ended = command("up", within=mounted(f"mount --bind {small} /proc/meminfo"), **elsewhere)
    assert ended.code == 2
    assert "error: memory: 6.0 GiB, expected 10 GiB; take a larger machine" in ended.errors


def test_control_groups_that_are_not_mounted_are_named(command, elsewhere, port_of_etcd):
    ended = command("up", within=mounted("mount -t tmpfs tmpfs /sys/fs/cgroup"), **elsewhere)
    assert ended.code == 2
    assert "error: control groups: no cpu, cpuset, memory, pids under /sys/fs/cgroup; mount them" in ended.errors


def test_a_kernel_without_packet_filter_is_named(command, elsewhere, port_of_etcd, tmp_path):
    # What iptables says there.
    program = tmp_path / "iptables"
    program.write_text("#!/bin/sh\necho 'iptables: Failed to initialize nft: Protocol not supported' >&2\nexit 1\n")
    program.chmod(0o755)
    ended = command("up", **elsewhere | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert ended.code == 2
    lines = [line for line in ended.errors if line.startswith("error: packet filter: ")]
    assert [line.split("`")[1] for line in lines] == ["iptables -w -t nat -L -n", "iptables -w -t filter -L -n"]
    assert all(line.endswith("Protocol not supported'; the kernel needs nf_tables and nat") for line in lines)


def test_a_network_that_is_taken_is_named_with_who_has_it(command, elsewhere):
    alone = ("unshare", "--net", "sh", "-c", 'ip link set lo up && ip route add 10.244.0.0/16 dev lo && exec "$@"', "-")
    ended = command("up", within=alone, **elsewhere)
    assert ended.code == 2
    assert "error: network 10.244.0.0/24: the cluster needs it, and 10.244.0.0/16 is routed to lo" in ended.errors
    assert not started(elsewhere)


def test_where_starting_was_refused_removing_leaves_the_machine_alone(command, elsewhere, port_of_etcd):
    assert command("up", **elsewhere).code == 2
    # Away from the network, pods and cache of a cluster that may run.
    away = ("mount -t tmpfs tmpfs /sys/fs/cgroup", "mount -t tmpfs tmpfs /var/lib")
    within = (*mounted(" && ".join((*away, "ip address add 10.245.0.1/32 dev lo"))), "sh", "-c", '"$0" && ip address')
    ended = command("down", within=("unshare", "--net", *within), **elsewhere)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "cluster rlgen-dev: not there")
    assert "10.245.0.1/32" in ended.out


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_a_number_of_gpus_that_is_none_is_refused(command, elsewhere, value):
    ended = command("up", **elsewhere, GPUS=value)
    assert ended.code == 2
    assert ended.errors == [f"error: GPUS={value}: expected a number of GPUs, such as 8"]


def test_an_unknown_component_is_refused(command):
    ended = command("build", "kubernetes")
    assert ended.code == 2
    assert ended.errors[-1].startswith("build: error: component kubernetes: expected one of helm, kube, etcd")

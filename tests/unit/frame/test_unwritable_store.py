"""A store that cannot be written: one line, exit code 2, and what was there is still there.

Permissions do not bind root, so root gives up the capability that overrides them. A full disk is a small tmpfs in a
mount namespace of its own, or, where the system allows no mounts, a limit on the size of files.
"""

import ctypes
import os
import resource
import subprocess
import sys
from typing import Any

import pytest

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
LIMIT = 200_000
SMALL_DISK = 'mkdir -p "$RLGEN_STORE" && mount -t tmpfs -o size=200k tmpfs "$RLGEN_STORE" && exec "$@"'


def obey_permissions() -> None:
    if os.getuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
        raise OSError("root could not give up CAP_DAC_OVERRIDE")


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def own_mounts() -> list[str]:
    """How to run a command in a mount namespace of its own here; empty when the system refuses."""
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    probe = [*unshare, "sh", "-c", 'mount -t tmpfs tmpfs /mnt && "$0" -c ""', sys.executable]
    return unshare if subprocess.run(probe, capture_output=True).returncode == 0 else []


def test_a_read_only_store_still_gives_hits_and_says_what_it_is(pod: Any) -> None:
    assert pod.run(pod.arguments()).returncode == 0
    folders = [pod.root / "store", *(pod.root / "store").rglob("*/")]
    for folder in folders:
        folder.chmod(0o555)
    try:
        hit = pod.run(pod.arguments(), preexec_fn=obey_permissions)
        other = pod.run(pod.arguments(steps=4), preexec_fn=obey_permissions)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert hit.returncode == 0, hit.stderr
    assert other.returncode == 2
    assert other.stderr.startswith(f"store {pod.root}/store")
    assert "it is not writable by this user" in other.stderr
    assert other.stderr.count("\n") == 1


@pytest.mark.parametrize("large", ["size", "state_size"], ids=["the stage's own file", "a resume point"])
def test_a_full_store_is_said_in_one_line(pod: Any, large: str) -> None:
    arguments = pod.arguments(**{large: 2**20})
    mounts = own_mounts()
    if mounts:
        done = pod.run(arguments, prefix=[*mounts, "sh", "-c", SMALL_DISK, "sh"])
    else:
        done = pod.run(arguments, preexec_fn=limit_file_size)
    assert done.returncode == 2, done.stderr
    on_disk = {"size": "No space left", "state_size": "it is full"}[large]
    assert (on_disk if mounts else "File too large") in done.stderr
    assert str(pod.root / "store") in done.stderr
    assert done.stderr.count("\n") == 1

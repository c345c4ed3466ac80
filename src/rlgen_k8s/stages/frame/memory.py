"""Whether the kernel killed a process for want of memory, as this container's control group tells."""

from pathlib import Path

COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Of cgroup v2 and v1; each has a line `oom_kill N`."""


def oom_kills(counters: tuple[Path, ...] = COUNTERS) -> int:
    """How many processes were killed so far; 0 where nobody counts."""
    for path in counters:
        if path.is_file():
            fields = dict(line.split() for line in path.read_text().splitlines())
            if "oom_kill" in fields:
                return int(fields["oom_kill"])
    return 0

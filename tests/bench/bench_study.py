"""How long the commands and the whole tiny study take, and what memory and disk they need."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
RLGEN = str(Path(sys.executable).parent / "rlgen")
SAMPLE_SECONDS = 1.0


def seconds(command: Sequence[str], home: Path, repeats: int = 5) -> float:
    """The shortest of several wall times: what the command needs when nothing is in its way."""
    environment = os.environ | {"RLGEN_HOME": str(home)}
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return min(times)


def memory(process: psutil.Process) -> int:
    """Bytes of a process and all below it; a shared page is shared out among those who share it (PSS)."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # it ended between the listing and the look
    return total


def run_study(home: Path) -> tuple[float, int]:
    """Wall seconds of `make run WF=tiny` in an empty home, and the peak of its memory in bytes."""
    began = time.perf_counter()
    run = subprocess.Popen(["make", "run", "WF=tiny"], cwd=ROOT, env=os.environ | {"RLGEN_HOME": str(home)})
    peak, ended = [0], threading.Event()

    def watch() -> None:
        process = psutil.Process(run.pid)
        while not ended.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], memory(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = run.wait()
    ended.set()
    watcher.join()
    if code:
        sys.exit(f"make run WF=tiny: exit code {code}")
    return time.perf_counter() - began, peak[0]


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> int:
    """Print the table; exit code 1 if something is above what is wanted."""
    with tempfile.TemporaryDirectory(prefix="rlgen-bench-") as folder:
        home = Path(folder)
        rows = [
            ("rlgen --help, s", seconds([RLGEN, "--help"], home), 0.3),
            ("rlgen plan tiny, s", seconds([RLGEN, "plan", "tiny"], home), 1.0),
        ]
        wall, peak = run_study(home)
        rows += [
            ("make run WF=tiny, s", wall, 600.0),
            ("peak memory, GiB", peak / 2**30, 10.0),
            ("data on disk, GiB", size(home) / 2**30, 2.0),
            ("again, all hits, s", seconds(["make", "run", "WF=tiny"], home, 2), 5.0),
        ]
    for name, value, wanted in rows:
        print(f"{name:<24}{value:>9.2f}   wanted: at most {wanted:g}{'' if value <= wanted else '   NO'}")
    return 0 if all(value <= wanted for _, value, wanted in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

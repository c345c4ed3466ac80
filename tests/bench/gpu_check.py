"""What only a GPU can measure, as a table in Markdown; at most 10 minutes on one H200, after which it ends.

Run by `make gpu-check`, or: `python -m tests.bench.gpu_check [--small] [--limit SECONDS] [PART …]`. The parts are
`gpu_parts`'; grpo runs in .venv-vllm, which has vLLM, the others in this environment. With TRITON_INTERPRET=1,
`--small` goes the same ways at toy sizes on a CPU, without vLLM. A part that fails or is late is named with its reason,
the end of its log is on standard error, the others go on, and the exit code is 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from rlgen_k8s.processes.child import guarded

ROOT = Path(__file__).parents[2]
VLLM = ROOT / ".venv-vllm/bin/python"
PARTS = ("crosscoder", "harvest", "stream", "sft", "grpo")
COLUMNS = ("what", "rate", "share", "wanted", "peak memory, GB")
LIMIT_SECONDS = 600.0
GRACE_SECONDS = 5.0
TAIL = 3000
"""Characters of a log."""


def measure(part: str, small: bool, seconds: float) -> str:
    """Print the rows of a part, which is ended after `seconds`; why there are not all, or ""."""
    python = VLLM if part == "grpo" and not small else Path(sys.executable)
    if not python.exists():
        return f"{python} is missing; make gpu-check makes it (platform/environment.sh vllm)"
    if seconds <= 0:
        return "no time was left"
    environment = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as name:
        rows, log = Path(name) / "rows", Path(name) / "log"
        rows.touch()
        command = [str(python), "-m", "tests.bench.gpu_parts", part, str(rows), *(["--small"] if small else [])]
        with log.open("wb") as output:
            process = subprocess.Popen(
                guarded(command, GRACE_SECONDS),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            assert process.stdin is not None
            try:
                code = process.wait(seconds)
                reason = ""
            except subprocess.TimeoutExpired:
                code, reason = 1, f"not done in the {seconds:.0f} s that were left"
            finally:
                process.stdin.close()  # ends it, if it has not ended
                process.wait()
        print(rows.read_text(), end="", flush=True)
        if code == 0:
            return ""
        said = log.read_text(errors="replace").rstrip()
        print(said[-TAIL:], file=sys.stderr)
        return reason or said.rpartition("\n")[2]


def main() -> int:
    """Print the table; exit code 1 if a part did not run to its end."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, metavar="SECONDS", help="of all parts together")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"part {min(unknown)}: expected one of {', '.join(PARTS)}")
    if asked.small and os.environ.get("TRITON_INTERPRET") != "1":
        parser.error("--small: set TRITON_INTERPRET=1 beside it, which Triton has to find when it is imported")
    if not asked.small and not torch.cuda.is_available():
        parser.error("no GPU is here; --small goes the same ways on the CPU")

    end = time.monotonic() + asked.limit
    on = "CPU, toy sizes" if asked.small else torch.cuda.get_device_name()
    print(f"{on}, torch {torch.__version__}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    missing = {}
    for part in asked.parts or PARTS:
        began = time.monotonic()
        if reason := measure(part, asked.small, end - began):
            missing[part] = reason
        print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    if missing:
        print("\ndid not run to the end:", *(f"{part} ({reason})" for part, reason in missing.items()), sep="\n- ")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

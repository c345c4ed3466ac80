"""One attempt of one task: a child process with its log and its progress file."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlgen_k8s.processes.child import guarded
from rlgen_k8s.runners.local.tasks import LocalTask

GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Attempt:
    """A running child. Nothing it starts outlives this process: see `guard`."""

    process: subprocess.Popen[bytes]
    log: Path
    progress_file: Path

    def exit_code(self) -> int | None:
        """The exit code (128 + n after signal n), or None while it runs."""
        return self.process.poll()

    def progress(self) -> tuple[int, int] | None:
        """`N/M` as the stage last reported it."""
        try:
            done, _, total = self.progress_file.read_text().partition("/")
            return int(done), int(total)
        except (FileNotFoundError, ValueError):
            return None

    def ask_to_stop(self) -> None:
        """SIGTERM to the child and all its descendants, SIGKILL after the grace period."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def last_lines(self, count: int = 12) -> str:
        """The end of the log, for a failure message."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines[-count:])


def start(task: LocalTask, folder: Path, environment: Mapping[str, str], attempt: int) -> Attempt:
    """Start `task` with its own environment over `environment`; output goes to `folder/<task>.log`."""
    log, progress_file = folder / f"{task.name}.log", folder / f"{task.name}.progress"
    progress_file.unlink(missing_ok=True)
    environment = {
        **environment,
        **task.env,
        "ARGO_PROGRESS_FILE": str(progress_file),
        "RLGEN_ATTEMPT": str(attempt),
        # The pod's command is found beside this interpreter, as it is on the image's PATH.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
    }
    with log.open("ab") as output:
        output.write(f"--- attempt {attempt}: {task.argv[0]} {task.name}\n".encode())
        output.flush()
        process = subprocess.Popen(
            guarded(task.argv, GRACE_SECONDS),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Attempt(process, log, progress_file)

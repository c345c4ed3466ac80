"""Long-running processes: started apart from this one, known by pid files, stopped by pid."""

import hashlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from devcluster.output import UserError
from devcluster.paths import LOGS, PROCESSES

_PATIENCE = 5


@dataclass(frozen=True)
class Service:
    """A process of the cluster."""

    name: str
    command: tuple[str, ...]
    ports: tuple[int, ...] = ()
    """TCP ports it listens on."""
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[Path, ...] = ()
    """Configuration that it reads once, when it starts."""

    @property
    def pid_file(self) -> Path:
        return PROCESSES / self.name

    @property
    def digest(self) -> str:
        """Of all that it is started with: another one means that it has to be started again."""
        digest = hashlib.sha256(json.dumps([self.command, self.environment]).encode())
        for path in self.files:
            digest.update(path.read_bytes() if path.exists() else b"")
        return digest.hexdigest()


def start(service: Service) -> bool:
    """Start it unless it runs as it should; whether it was started."""
    if running_as_it_should(service):
        return False
    stop(service.pid_file)
    for folder in (PROCESSES, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{service.name}.log").open("ab") as log:
        process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | dict(service.environment),
            cwd="/",
            start_new_session=True,
        )
    entry = {"pid": process.pid, "since": _since(process.pid), "digest": service.digest}
    service.pid_file.write_text(json.dumps(entry))
    return True


def running_as_it_should(service: Service) -> bool:
    """Whether it is alive and was started with today's configuration."""
    return alive(service.pid_file) is not None and json.loads(service.pid_file.read_text())["digest"] == service.digest


def alive(pid_file: Path) -> int | None:
    """The pid, if that very process still runs: its start time tells it from a later one of the same number."""
    if not pid_file.exists():
        return None
    entry = json.loads(pid_file.read_text())
    return entry["pid"] if entry["since"] is not None and entry["since"] == _since(entry["pid"]) else None


def stop(*pid_files: Path) -> None:
    """Ask all of them to end, and insist after a while."""
    for pid_file in pid_files:
        if pid := alive(pid_file):
            os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE
    while running := [pid for pid in map(alive, pid_files) if pid]:
        if time.monotonic() > until:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for pid_file in pid_files:
        pid_file.unlink(missing_ok=True)


def require_alive(service: Service) -> None:
    """Say what the process said last, if it has ended."""
    if alive(service.pid_file) is None:
        log = LOGS / f"{service.name}.log"
        last = (log.read_text(errors="replace").strip() or "nothing").splitlines()[-1]
        raise UserError(f"{service.name} ended while the cluster started: {last[:300]} (all of it in {log})")


def _since(pid: int) -> str | None:
    """The boot and the tick at which the process started; None once it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = text.rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state == "Z" else f"{boot} {fields[18]}"

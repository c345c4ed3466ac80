"""Run the stage `counting` as a process, as a pod would."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.store.keys import stage_key
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store

DEFAULTS: dict[str, Any] = {"steps": 5, "pause": 0.0, "ending": "done", "helper": False, "size": 0, "state_size": 0}
COMMAND = [sys.executable, str(Path(__file__).parent / "counting_stage.py")]


@dataclass
class Pod:
    """Where tasks run: a store, scratch space and a progress file of their own."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return open_store(str(self.root / "store"))

    @property
    def progress_file(self) -> Path:
        return self.root / "progress"

    def key(self, inputs: dict[str, str] | None = None, **settings: Any) -> str:
        return stage_key("counting", 1, DEFAULTS | settings, inputs or {})

    def arguments(self, inputs: dict[str, str] | None = None, **settings: Any) -> list[str]:
        values = DEFAULTS | settings
        key = self.key(inputs, **settings)
        return [
            *("--stage=counting", f"--key={key}", "--name=count"),
            *(f"--settings={json.dumps(values)}", f"--inputs={json.dumps(inputs or {})}"),
        ]

    def start(self, arguments: Sequence[str], prefix: Sequence[str] = (), **options: Any) -> "subprocess.Popen[str]":
        own = {
            "RLGEN_STORE": str(self.root / "store"),
            "RLGEN_SCRATCH": str(self.root / "scratch"),
            "RLGEN_HOME": str(self.root / "home"),
            "ARGO_PROGRESS_FILE": str(self.progress_file),
        }
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("RLGEN_", "MLFLOW_"))}
        return subprocess.Popen(
            [*prefix, *COMMAND, *arguments],
            env=environ | own | self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, arguments: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        process = self.start(arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)

"""`rlgen-stage` with its results on S3: killed, resumed and published as on a folder."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rlgen_k8s.store.keys import stage_key

COMMAND = [sys.executable, str(Path(__file__).parents[2] / "unit/frame/counting_stage.py")]
SETTINGS = {"steps": 5, "pause": 0.2, "ending": "done", "helper": False, "size": 0, "state_size": 0}
KEY = stage_key("counting", 1, SETTINGS, {})


def start(place: Any, scratch: Path) -> "subprocess.Popen[str]":
    own = {"RLGEN_STORE": place.uri, "RLGEN_SCRATCH": str(scratch), **place.environ}
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RLGEN_", "MLFLOW_"))}
    arguments = ["--stage=counting", f"--key={KEY}", f"--settings={json.dumps(SETTINGS)}", "--inputs={}"]
    return subprocess.Popen([*COMMAND, *arguments], env=environ | own, stdout=subprocess.PIPE, text=True)


def test_killed_on_one_machine_a_stage_goes_on_on_another(place: Any, tmp_path: Path) -> None:
    store, address = place.open(), f"counting/{KEY}"
    first = start(place, tmp_path / "one")
    while len(store.blobs.children(f"{address}/resume")) < 2:
        time.sleep(0.02)
    first.kill()
    first.communicate()
    second = start(place, tmp_path / "other")
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert int(out.split("going on from step ")[1].split()[0]) >= 1
    lines = (store.fetch(address, tmp_path / "to") / "lines").read_text().splitlines()
    assert lines == [f"{step} []" for step in range(5)]
    assert store.blobs.children(f"{address}/resume") == []
    assert list((tmp_path / "other").glob("*/*")) == []

"""The stage `grpo` for real: verl trains a micro model, is killed with -9 between two checkpoints, goes on and
finishes. About two minutes."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.local.micro import TEMPLATE, write_words
from transformers import AutoModelForCausalLM

from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps
from rlgen_k8s.stages.points import RESUME_STEPS

STEPS, KILLED_AFTER = 8, 3
STAGE = """
import os, signal, sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.grpo.run import run
from rlgen_k8s.stages.grpo.settings import GrpoSettings

settings = GrpoSettings(
    engine="hf", precision="fp32", n_gpus=2, prompts_per_step=4, mini_batch_prompts=2, rollouts=4, prompt_tokens=16,
    response_tokens=3, learning_rate=0.01, seed=1,
)
@dataclass(frozen=True)
class Killing:
    points: Any
    def newest(self):
        return self.points.newest()
    def save(self, step, folder):
        self.points.save(step, folder)
        if step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
context = local_context(settings, {"base": folder / "base", "problems": folder}, folder / "out")
print("SCRATCH", context.scratch, flush=True)
run(replace(context, resume=Killing(context.resume)))
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model over nine words that says the right one now and then, and problems for eight and a half steps."""
    folder = tmp_path_factory.mktemp("grpo")
    write_words(folder, STEPS * 4 + 2, width=16, heads=2, length=64)
    return folder


def _run(folder: Path, log: Path, killed_after: int = 0) -> int:
    command = [sys.executable, "-c", STAGE, str(folder), str(killed_after)]
    with log.open("wb") as output:
        return subprocess.run(
            command, env=os.environ | {RESUME_STEPS: "1"}, stdout=output, stderr=output, timeout=400, check=False
        ).returncode


def _scratch(log: Path) -> str:
    return next(line.split()[1] for line in log.read_text().splitlines() if line.startswith("SCRATCH"))


def _processes_of(scratch: str) -> list[int]:
    """Running processes that name the attempt's scratch folder in their arguments or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if scratch.encode() in text:
            found.append(int(process.name))
    return found


def _wait(condition: object, seconds: float) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
    return bool(condition())


@pytest.mark.timeout(900)
def test_killed_with_9_it_goes_on_and_leaves_five_checkpoints_and_no_process(inputs: Path) -> None:
    log, out = inputs / "first.log", inputs / "out"
    assert _run(inputs, log, KILLED_AFTER) == -signal.SIGKILL, log.read_text()[-3000:]
    assert _wait(lambda: not _processes_of(_scratch(log)), 30), _processes_of(_scratch(log))
    shutil.rmtree(out)  # an attempt starts with an empty folder

    log = inputs / "second.log"
    assert _run(inputs, log) == 0, log.read_text()[-3000:]
    assert KILLED_AFTER not in checkpoint_steps(STEPS, 1, 1)
    assert f"resuming after step {KILLED_AFTER} of {STEPS}" in log.read_text()
    assert not _processes_of(_scratch(log))

    rows = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert all(0 <= row["reward"] <= 1 and 1 <= row["response_length"] <= 3 for row in rows)
    assert any(row["reward"] > 0 for row in rows)

    folders = [inputs / "base", *(out / "checkpoints" / str(fifth) for fifth in range(1, 6))]
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["1", "2", "3", "4", "5"]
    weights = []
    for folder in folders:
        assert load_tokenizer(folder).chat_template == TEMPLATE
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        assert model.dtype == torch.float32
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert all(not torch.equal(before, after) for before, after in itertools.pairwise(weights))
    bf16 = weights[-1].bfloat16().float()
    assert not torch.equal(bf16, weights[-1])  # not rounded on the way

"""`make gpu-check` at toy sizes on the CPU. Its trainers' parts are what test_sft_training and test_grpo_real test."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def check(*parts: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.bench.gpu_check", "--small", *parts]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_it_prints_one_table_with_every_rate() -> None:
    done = check("crosscoder", "harvest", "stream")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]
    for wanted in ("step, 2 models, dense", "step, 3 models, CSR", "step, 3 models, Triton", "harvest", "stream"):
        assert any(name.startswith(wanted) for name in names), (wanted, names)
    rates = [line.split(" | ")[1].split()[0].replace(",", "") for line in lines[2:]]
    assert all(float(rate) > 0 for rate in rates)


def test_an_unknown_part_is_named() -> None:
    done = check("crosscoders")
    assert done.returncode == 2
    assert "part crosscoders: expected one of crosscoder, harvest" in done.stderr

"""`make gpu-check` at toy sizes on the CPU, and the environment that it makes for vLLM, which is not installed here."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.bench.gpu_check", "--small", *arguments]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def rows(done: "subprocess.CompletedProcess[str]") -> dict[str, list[str]]:
    """The other cells of each row of the table, by its first."""
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: others for name, *others in cells}


def test_it_prints_one_table_with_every_rate() -> None:
    done = check("crosscoder", "harvest", "stream")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = rows(done)
    for wanted in ("step, 2 models, dense", "step, 3 models, CSR", "step, 3 models, Triton", "harvest", "stream"):
        assert any(name.startswith(wanted) for name in found), (wanted, found)
    assert all(float(rate.split()[0].replace(",", "")) > 0 for rate, *_ in found.values())


@pytest.mark.timeout(900)
def test_of_the_trainings_it_says_what_a_step_takes_and_nothing_of_what_they_print() -> None:
    began = time.monotonic()
    done = check("sft", "grpo")
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = rows(done)
    assert all(re.fullmatch(r"[\d.e-]+ s a step, median of 5", rate) for rate, *_ in found.values()), found
    seconds = {name: float(rate.split()[0]) for name, (rate, *_) in found.items()}
    whole = "stage grpo, Hugging Face rollouts, small model"
    assert seconds.keys() == {"stage sft, ZeRO-3, small model", whole, "its rollouts", "its updates"}
    assert seconds["its rollouts"] < seconds[whole] and seconds["its updates"] < seconds[whole]
    assert 0 < 5 * sum(seconds.values()) < took / 2  # most of it is the start
    assert len(done.stdout.splitlines()) == 2 + 2 + len(found)


def test_it_ends_when_its_time_is_over_and_names_what_is_missing() -> None:
    began = time.monotonic()
    done = check("--limit", "2", "harvest", "stream")
    assert time.monotonic() - began < 60
    assert done.returncode == 1
    assert "- harvest (not done in the 2 s that were left)\n- stream (no time was left)\n" in done.stdout


def test_a_part_that_fails_is_named_with_its_last_words_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "deepspeed.py").write_text("raise ImportError('no DeepSpeed today')")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "tests.bench.gpu_check", "--small", "sft", "harvest"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "did not run to the end:\n- sft (" in done.stdout
    assert "no DeepSpeed today" in done.stderr
    assert "harvest, stored" in rows(done)


def test_an_unknown_part_is_named() -> None:
    done = check("crosscoders")
    assert done.returncode == 2
    assert "part crosscoders: expected one of crosscoder, harvest" in done.stderr


def test_it_makes_the_environment_with_vllm_from_the_lock_beside_the_other(tmp_path: Path) -> None:
    """The project's own uv says what it would install, and installs nothing: that is GB."""
    (tmp_path / "platform").mkdir()
    for name in ("platform/environment.sh", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    uv = tmp_path / ".uv/bin/uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(
        '#!/bin/sh\nshift 2  # sync --quiet\nmkdir -p "$UV_PROJECT_ENVIRONMENT"\n'
        f'exec {ROOT}/.uv/bin/uv sync --dry-run --project "$PWD" "$@"\n'
    )
    uv.chmod(0o755)
    command = [str(tmp_path / "platform/environment.sh"), "vllm"]
    first, again = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert first.returncode == again.returncode == 0, first.stderr
    would = {line.removeprefix(" + ") for line in first.stderr.splitlines() if line.startswith(" + ")}
    assert {"vllm==0.24.0", "verl==0.9.1", "torch==2.11.0"} <= would
    assert not any(line.startswith(("llamafactory", "pytest")) for line in would)
    assert again.stderr == ""  # it is there
    assert {path.name for path in tmp_path.iterdir()} == {".uv", ".venv-vllm", "platform", "pyproject.toml", "uv.lock"}
    unknown = subprocess.run([*command[:1], "vlm"], capture_output=True, text=True, check=False)
    assert (unknown.returncode, unknown.stderr) == (2, "error: vlm: expected vllm, or nothing for .venv\n")


def test_make_gpu_check_makes_it_and_make_clean_removes_it() -> None:
    made, removed = (
        subprocess.run(
            ["make", "--no-print-directory", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for target in ("gpu-check", "clean")
    )
    assert made.splitlines()[-2:] == ["platform/environment.sh vllm", ".venv/bin/python -m tests.bench.gpu_check"]
    assert ".venv-vllm" in removed.split()
    ignored = subprocess.run(["git", "check-ignore", ".venv-vllm/bin/python"], cwd=ROOT, check=False)
    assert ignored.returncode == 0

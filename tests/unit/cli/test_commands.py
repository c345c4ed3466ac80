"""The commands as processes: what a user types, reads, and gets as an exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RLGEN = str(Path(sys.executable).parent / "rlgen")


def rlgen(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"RLGEN_HOME": str(home)} | environment
    return subprocess.run([RLGEN, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_help_names_the_commands_and_comes_without_heavy_imports(tmp_path):
    done = rlgen("--help", home=tmp_path)
    assert done.returncode == 0
    for command in ("plan", "run", "render", "settings", "status", "report", "compare", "lineage", "mlflow"):
        assert command in done.stdout
    heavy = "import sys, rlgen_k8s.cli; print([m for m in ('pydantic', 'hera', 'torch', 'mlflow') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "[]"


def test_planning_imports_no_trainer_no_mlflow_and_no_hera():
    code = (
        "import sys, rlgen_k8s.runners.planning;"
        "print([m for m in ('torch', 'transformers', 'mlflow', 'hera', 'numpy', 'minio') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_plan_lists_every_task_with_verdict_address_cost_and_reason(tmp_path):
    done = rlgen("plan", "tiny", home=tmp_path)
    assert done.returncode == 0
    for word in ("crosscoder-rl-3", "grpo/", "run", "new: no result of this stage yet", "core-minutes"):
        assert word in done.stdout


def test_plan_of_a_full_study_has_hours_bytes_memory_and_a_price(tmp_path):
    done = rlgen("plan", "full-qwen25", "--set", "cost.prices={H200: 2}", home=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("GPU-hours", "node disk", "KV cache", "1 × 8", "at 2 a GPU-hour", "hours at least", "GB more in the"):
        assert word in done.stdout
    assert "set cost.prices={H200: …}" in rlgen("plan", "full-qwen25", home=tmp_path).stdout


def test_a_study_that_cannot_fit_is_neither_planned_nor_run(tmp_path):
    for command in ("plan", "run"):
        done = rlgen(command, "full-qwen25", "--set", "sft.per_device_batch=8", home=tmp_path)
        assert done.returncode == 2
        assert "lower sft.cutoff_len or sft.per_device_batch" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_what_a_later_task_lacks_keeps_no_earlier_one_from_its_plan(tmp_path):
    few = ("--set", "problems.size=20")
    assert rlgen("plan", "tiny", *few, "--until", "problems", home=tmp_path).returncode == 0
    done = rlgen("plan", "tiny", *few, home=tmp_path)
    assert done.returncode == 2
    assert "5 checkpoints need at least 5" in done.stderr


def test_render_prints_the_workflow_for_argo(tmp_path):
    workflow = yaml.safe_load(rlgen("render", "tiny", home=tmp_path).stdout)
    assert (workflow["kind"], workflow["apiVersion"]) == ("Workflow", "argoproj.io/v1alpha1")
    assert str(ROOT) not in yaml.safe_dump(workflow)


def test_settings_explains_a_field(tmp_path):
    shown = rlgen("settings", "tiny", "grpo.clip", home=tmp_path).stdout
    assert "grpo.clip_low" in shown
    assert "0.22" in shown
    assert "docs/study.md" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "tinny"], "study tinny"),
        (["run", "tiny", "--set", "grpo.rolouts=8"], "did you mean rollouts"),
        (["run", "tiny", "--set", "grpo.rollouts=many"], "grpo.rollouts='many'"),
        (["plan", "tiny", "--set", "replicates=[1,"], "--set replicates=[1,: the value is no YAML"),
        (["plan", "tiny", "--set", "grpo.mini_batch_prompts=5"], "mini_batch_prompts 5"),
        (["plan", "tiny", "--set", "base.seed=7"], "the study fills base.seed; set seed"),
        (["plan", "full-qwen25", "--set", "traces.engine=hf"], "lower traces.batch_size"),
        (["run", "tiny", "--rebuild", "sfft"], "--rebuild sfft"),
        (["run", "tiny", "--until", "nowhere"], "--until nowhere"),
        (["report", "tiny"], "not made yet"),
        (["status", "tiny"], "has not run here yet"),
        (["compare", "tiny-1", "tiny-2"], "tiny-1"),
        (["plan", "tiny", "--against", "tiny-1"], "tiny-1"),
        (["plan", "tiny", "--until", "nowhere", "--against", "tiny-1"], "--until nowhere"),
        (["lineage", "nonsense"], "nonsense"),
    ],
)
def test_what_the_user_must_mend_is_one_line_and_exit_code_2(tmp_path, arguments, words):
    done = rlgen(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("RLGEN_HOME", "expected a folder, found a file"),
        ("RLGEN_STORE", "expected a folder, found a file"),
        ("RLGEN_WORKFLOWS", "no tiny.py in"),
    ],
)
def test_a_variable_that_names_a_file_is_one_line(tmp_path, variable, words):
    (tmp_path / "file").touch()
    done = rlgen("plan", "tiny", **{"home": tmp_path / "home", variable: str(tmp_path / "file")})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert str(tmp_path / "file") in done.stderr and words in done.stderr


def test_a_python_of_a_wrong_version_is_refused_before_anything_is_installed(tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    command = [str(ROOT / "platform/environment.sh")]
    done = subprocess.run(command, env=os.environ | {"PYTHON": str(old)}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected Python 3.11 or 3.12, found Python 3.9.1" in done.stderr

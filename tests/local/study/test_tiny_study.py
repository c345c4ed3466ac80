"""What a user can rely on after `make run WF=tiny`. All tests here share one run of it."""

import json
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import wilcoxon

from rlgen_k8s.dag.nodes import Node, plan
from rlgen_k8s.store.open import open_store
from rlgen_k8s.study.load import load_study

# Minutes of training beside whatever else the machine does: only what hangs is cut.
pytestmark = pytest.mark.timeout(3000)
FIGURES = [f"figure-{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)]
TABLES = [f"table-{number}" for number in range(1, 6)]


def node(name: str, *assignments: str) -> Node:
    return next(node for node in plan(load_study("tiny", list(assignments))) if node.name == name)


def result(home: Path, name: str, *assignments: str) -> Path:
    return open_store(str(home / "store")).fetch(node(name, *assignments).address, home / "fetched")


def test_the_report_has_every_figure_and_table_and_needs_nothing_from_outside(tiny):
    page = (tiny.home / "reports/tiny.html").read_text()
    for identity in FIGURES + TABLES:
        assert f'id="{identity}"' in page
    assert "<script" not in page
    links = re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", page)
    assert all(re.fullmatch(r"tiny/features/\d+\.html", link) for link in links)
    for link in links:
        assert "<script" not in (tiny.home / "reports" / link).read_text()
    assert len(links) >= 5
    assert f"report: {tiny.home / 'reports/tiny.html'}" in tiny.output


def seeds_table(page: str) -> list[list[str]]:
    """The rows of the report's table of seeds, as text."""
    table = page[page.index('id="table-seeds"') :]
    rows = re.findall("<tr>(.*?)</tr>", table[table.index("<tbody>") : table.index("</tbody>")], re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[re.sub("<[^>]+>", "", cell).strip() for cell in row] for row in cells]


def assert_learnt(home: Path, *assignments: str) -> None:
    """Paired by problem, the mean of k responses each: SciPy's signed-rank test, not the report's own."""
    outcomes = {}
    for model in ("base", "sft", "rl"):
        samples = pd.read_parquet(result(home, f"evaluate-{model}", *assignments) / "samples.parquet")
        outcomes[model] = samples[samples.task == "math500"].set_index("doc_id").outcome
    for model in ("sft", "rl"):
        p = wilcoxon(outcomes[model] - outcomes["base"], alternative="greater").pvalue
        print(f"{assignments} {model}: {outcomes['base'].mean():.3f} → {outcomes[model].mean():.3f}, p = {p:.1e}")
        assert outcomes[model].mean() > outcomes["base"].mean()
        assert p < 0.01


def assert_between_chance_and_ceiling(home: Path, *assignments: str) -> None:
    """Of the base model, on every task that has enough samples to say so: 0.1 above chance, at most 0.9."""
    figures = json.loads((result(home, "evaluate-base", *assignments) / "results.json").read_text())
    tasks = {task: found for task, found in figures.items() if found["n"] >= 500}
    print(assignments, {task: round(found["mean"], 3) for task, found in tasks.items()})
    assert len(tasks) == 8
    for task, found in tasks.items():
        assert found["chance"] + 0.1 < found["mean"] < 0.9, task


def test_the_base_model_is_well_above_chance_and_well_below_ceiling(tiny):
    assert_between_chance_and_ceiling(tiny.home)


def test_sft_and_grpo_learnt_on_held_out_problems(tiny):
    assert_learnt(tiny.home)


def test_sft_and_grpo_learn_with_other_seeds_too(tiny, copied_home):
    """In a home of its own: the report of the study without them stays the newest in the shared one."""
    run = tiny.rlgen("run", "tiny", "--set", "replicates=[1, 2]", home=copied_home)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = seeds_table((copied_home / "reports/tiny.html").read_text())
    assert [row[0] for row in rows] == ["0, this study", "1", "2"]
    for seed, row in enumerate(rows):
        print(" | ".join(row))
        assert row[-1] == "both better"
        assert_learnt(copied_home, f"seed={seed}")
        assert_between_chance_and_ceiling(copied_home, f"seed={seed}")
    # What was trained as a replicate is found by the study with that seed.
    plan_of_seed = tiny.rlgen("plan", "tiny", "--set", "seed=1", "--until", "evaluate-rl", home=copied_home, check=True)
    assert ", 0 to run" in plan_of_seed.stdout


def test_every_result_is_whole_and_says_what_it_was_made_from(tiny):
    store = open_store(str(tiny.home / "store"))
    for each in plan(load_study("tiny")):
        manifest = store.manifest(each.address)
        assert manifest is not None
        assert manifest.identity.inputs == each.input_addresses
        store.fetch(each.address, tiny.home / "fetched")


def test_five_checkpoints_of_each_method_load_and_differ(tiny):
    from safetensors import safe_open

    for name in ("sft", "grpo"):
        folder = result(tiny.home, name) / "checkpoints"
        assert sorted(path.name for path in folder.iterdir()) == list("12345")
        sums = set()
        for path in sorted(folder.iterdir()):
            with safe_open(path / "model.safetensors", "pt") as weights:
                tensors = [weights.get_tensor(key) for key in weights.keys()]  # noqa: SIM118 (no dict)
            assert {str(tensor.dtype) for tensor in tensors} == {"torch.float32"}
            sums.add(sum(float(tensor.double().abs().sum()) for tensor in tensors))
        assert len(sums) == 5


def test_running_again_finds_every_result(tiny):
    began = time.monotonic()
    again = subprocess.run(["make", "run", "WF=tiny"], cwd=tiny.clone, capture_output=True, text=True, check=True)
    assert "nothing to run" in again.stdout
    print(f"again: {time.monotonic() - began:.1f} s")
    assert "run " not in tiny.rlgen("plan", "tiny", check=True).stdout.replace("to run", "")


def seconds_of(clock: str) -> float:
    parts = [int(part) for part in clock.split(":")]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def test_what_every_task_took_is_within_three_times_of_what_the_plan_expected(tiny):
    """A busy machine slows all stages: by how much, over all tasks, is divided out, and has a limit of its own."""
    shown = tiny.rlgen("plan", "tiny", "--against", "tiny", check=True).stdout
    print(shown)
    rows = re.findall(r"^ (\S+) +(\d[\d:]*) +(\d[\d:]*) +\d+\.\d\d\b", shown, re.M)
    nodes = {each.name: each.stage for each in plan(load_study("tiny"))}
    assert {name for name, _, _ in rows} == set(nodes)
    expected, took = Counter[str](), Counter[str]()
    for name, before, after in rows:
        expected[nodes[name]] += seconds_of(before)
        took[nodes[name]] += seconds_of(after)
    slower = took.total() / expected.total()
    assert 1 / 3 < slower < 6
    for stage in ("model", "traces", "sft", "grpo", "evaluate", "harvest", "crosscoder", "intervene"):
        assert 1 / 3 < took[stage] / expected[stage] / slower < 3, stage
    for rate in ("core.flops", "core.bandwidth", "core.crosscoder_flops", "core.start", "acceptance"):
        assert re.search(rf"^ cost\.{rate} +\S+ +\d", shown, re.M), rate


def test_lineage_in_mlflow_leads_from_the_report_back_to_the_data(tiny):
    tree = tiny.rlgen("lineage", node("report").address, check=True).stdout
    for name in ("report", "analyse", "crosscoder-joint", "grpo", "sft", "traces", "problems", "mirror"):
        assert node(name).address in tree


def test_two_submissions_are_compared_with_what_differs(tiny, copied_home):
    changed = tiny.rlgen("run", "tiny", "--set", "report.learning_p=0.02", home=copied_home)
    assert changed.returncode == 0, changed.stdout + changed.stderr
    # Both submissions have to be in one MLflow to be compared.
    changed = tiny.rlgen("run", "tiny", "--set", "report.learning_p=0.03")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    names = re.findall(r"^(tiny-\d{8}-\d+): \d+ of", tiny.output + changed.stdout, re.M)
    table = tiny.rlgen("compare", *names, check=True).stdout
    assert "report.learning_p" in table
    assert "0.03" in table


def test_a_crosscoder_killed_in_mid_training_ends_bit_for_bit_the_same(tiny, copied_home):
    """kill -9 of the runner and so of all its children; the next run goes on from the newest resume point."""
    name = "crosscoder-rl-3"
    whole = (result(tiny.home, name) / "crosscoder.safetensors").read_bytes()
    command = [str(tiny.clone / ".venv/bin/rlgen"), "run", "tiny", "--rebuild", name]
    environment = {"RLGEN_HOME": str(copied_home), "PATH": "/usr/bin:/bin"}
    run = subprocess.Popen(command, cwd=tiny.clone, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    resume = copied_home / "store" / node(name).address / "resume"
    deadline = time.monotonic() + 300
    while not list(resume.glob("*/manifest.json")):
        assert run.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    # By its name: the report is there, so nothing else asks for it.
    again = tiny.rlgen("run", "tiny", "--until", name, home=copied_home)
    assert again.returncode == 0, again.stdout + again.stderr
    killed, resumed = sorted(copied_home.glob(f"runs/*/{name}.log"))
    assert "published" not in killed.read_text()
    assert "going on from step" in resumed.read_text()
    assert (result(copied_home, name) / "crosscoder.safetensors").read_bytes() == whole


def test_an_altered_result_is_named_and_rebuilt_on_request(tiny, copied_home):
    victim = result(copied_home, "analyse") / "features.json"
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1])
    failed = tiny.rlgen("run", "tiny", "--rebuild", "report", home=copied_home)
    assert failed.returncode == 2
    assert node("analyse").address in failed.stdout
    assert "features.json" in failed.stdout
    assert "--rebuild" in failed.stdout
    mended = tiny.rlgen("run", "tiny", "--rebuild", node("analyse").address, home=copied_home)
    assert mended.returncode == 0, mended.stdout + mended.stderr


def test_two_runs_at_once_are_told_apart(tiny, copied_home):
    command = [str(tiny.clone / ".venv/bin/rlgen"), "run", "tiny", "--rebuild", "analyse"]
    environment = {"RLGEN_HOME": str(copied_home), "PATH": "/usr/bin:/bin"}
    first = subprocess.Popen(command, cwd=tiny.clone, env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    first.stdout.readline()
    second = tiny.rlgen("run", "tiny", home=copied_home)
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
    first.send_signal(signal.SIGINT)
    output = first.communicate(timeout=60)[0]
    assert first.returncode == 130
    assert "stopped" in output

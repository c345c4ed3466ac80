"""`images/build`: nothing is built twice, and a change of code costs a small layer."""

import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
MB = 1_000_000


def build(folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["images/build"], cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


def references(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in (folder / "images" / ".built").iterdir()}


def test_a_second_build_finds_everything_built():
    before, began = references(ROOT), time.monotonic()
    again = build(ROOT)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert references(ROOT) == before
    assert time.monotonic() - began < 10


def test_a_registry_that_does_not_answer_is_named_before_anything_is_built():
    done = build(ROOT, REGISTRY="localhost:9")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: registry localhost:9: ") and done.stderr.count("\n") == 1


def test_a_change_of_code_makes_small_new_layers_and_leaves_the_other_images(inspect, tmp_path):
    changed = tmp_path / "changed"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for file in filter(None, files):
        if (ROOT / file).is_file():
            (changed / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, changed / file)
    shutil.copytree(ROOT / ".git", changed / ".git")
    (changed / ".uv").symlink_to(ROOT / ".uv")
    with (changed / "src/rlgen_k8s/errors.py").open("a") as code:
        code.write(f"# {time.time()}\n")

    done = build(changed)
    assert done.returncode == 0, done.stderr
    before, after = references(ROOT), references(changed)
    assert {name for name in after if after[name] != before[name]} == {"stages"}
    old = {layer["digest"] for layer in inspect("stages")["layers"]}
    new = inspect("stages", built=changed / "images" / ".built")["layers"]
    assert sum(layer["size"] for layer in new if layer["digest"] not in old) < 10 * MB

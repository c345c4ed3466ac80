"""The Python of docs/crosscoder.md, as it stands."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.pages import ROOT, blocks

from rlgen_k8s.crosscoder import load_crosscoder, new_crosscoder, save_crosscoder
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.open import open_store

PLATFORM = {"kubernetes", "hera", "minio", "mlflow", "datasets", "lm_eval", "deepspeed", "verl", "llamafactory", "ray"}
IMPORTS = "import sys, rlgen_k8s.crosscoder, rlgen_k8s.crosscoder.stream, rlgen_k8s.lm.load; print(*sys.modules)"


def test_the_engine_loads_nothing_of_the_platform() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not PLATFORM & set(loaded)
    assert {".".join(name.split(".")[:2]) for name in loaded if name.startswith("rlgen_k8s.")} == {
        f"rlgen_k8s.{part}" for part in ("crosscoder", "errors", "lm")
    }


def published(folder: Path) -> str:
    """The address of a crosscoder's result in the store `folder`/store."""
    store = open_store(str(folder / "store"))
    identity = Identity(stage="crosscoder", version=1, settings={}, inputs={})
    attempt = store.open_attempt(identity.address, folder)
    save_crosscoder(new_crosscoder(("a", "b"), (1.0, 2.0), width=4, n_features=7, decoder_norm=1, seed=0), attempt.out)
    store.publish(attempt, identity)
    store.close(attempt)
    return str(attempt.address)


def test_the_script_of_the_page_runs(
    model_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").symlink_to(model_folders["base"].parent)
    chance = random.Random(0)
    Path("text.txt").write_text(" ".join(f"Story {chance.randrange(99)} of {n % 7} birds." for n in range(1500)))
    Path("address.txt").write_text(published(tmp_path))
    script, names = "".join(blocks(ROOT / "docs/crosscoder.md", "python")), {}
    exec(compile(script, "docs/crosscoder.md", "exec"), names)
    said = capsys.readouterr().out
    assert "variance explained" in said and "features are RL's own" in said
    assert names["features"].shape == (len(names["raw"][0]), 512)
    for_raw = load_crosscoder("joint-raw").encode(torch.cat(names["raw"], dim=1))
    torch.testing.assert_close(for_raw, names["features"])
    assert names["fetched"].models == ("a", "b")
    assert min(names["quality"].variance_explained.values()) > 0.3
    assert names["trainer"].step == names["trainer"].total_steps
    assert names["nu"].value.shape == (3, 512)

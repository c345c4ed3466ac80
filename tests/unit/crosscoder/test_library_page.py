"""The Python of docs/crosscoder.md, as it stands."""

import random
from pathlib import Path

import pytest
import torch
from tests.pages import ROOT, blocks

from rlgen_k8s.crosscoder import load_crosscoder


def test_the_script_of_the_page_runs(
    model_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").symlink_to(model_folders["base"].parent)
    chance = random.Random(0)
    Path("text.txt").write_text(" ".join(f"Story {chance.randrange(99)} of {n % 7} birds." for n in range(1500)))
    script, names = "".join(blocks(ROOT / "docs/crosscoder.md", "python")), {}
    exec(compile(script, "docs/crosscoder.md", "exec"), names)
    said = capsys.readouterr().out
    assert "variance explained" in said and "features are RL's own" in said
    assert names["features"].shape == (len(names["raw"][0]), 512)
    for_raw = load_crosscoder("joint-raw").encode(torch.cat(names["raw"], dim=1))
    torch.testing.assert_close(for_raw, names["features"])
    assert min(names["quality"].variance_explained.values()) > 0.3
    assert names["trainer"].step == names["trainer"].total_steps
    assert names["nu"].value.shape == (3, 512)

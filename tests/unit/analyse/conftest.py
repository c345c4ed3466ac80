"""One planted study, analysed once."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from rlgen_k8s.stages.analyse.results import Analysis, Features
from rlgen_k8s.stages.analyse.run import run
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.contract import Context, ResumePoint


class NoResume:
    def newest(self) -> ResumePoint | None:
        return None

    def save(self, step: int, folder: Path) -> None:
        raise AssertionError("analyse saves no resume points")


class Analysed(NamedTuple):
    inputs: dict[str, Path]
    out: Path
    analysis: Analysis
    features: Features


def load_planted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_study", Path(__file__).with_name("planted_study.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def analysed(planted: ModuleType, folder: Path, critical: int, thresholds: Tensor | None = None) -> Analysed:
    inputs = planted.write_study(folder, critical, thresholds)
    out = folder / "out"
    out.mkdir()
    settings = AnalyseSettings(seed=1, top=planted.TOP, sign_flips=999, random_sets=3, reference_prompts=50, batch=16)
    run(Context(settings, inputs, out, folder, NoResume(), lambda _done, _total: None, lambda _figures, _step: None))
    return Analysed(
        inputs,
        out,
        Analysis.model_validate_json((out / "analysis.json").read_text()),
        Features.model_validate_json((out / "features.json").read_text()),
    )


@pytest.fixture(scope="session")
def planted() -> ModuleType:
    return load_planted()


@pytest.fixture(scope="session")
def found(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    return analysed(planted, tmp_path_factory.mktemp("study"), critical=20)


@pytest.fixture(scope="session")
def empty(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    return analysed(planted, tmp_path_factory.mktemp("nothing"), critical=0)


@pytest.fixture(scope="session")
def above_threshold(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """Feature 2 counts only above 2.5, which it never reaches."""
    thresholds = torch.zeros(planted.D_FEATURES)
    thresholds[2] = 2.5
    return analysed(planted, tmp_path_factory.mktemp("thresholds"), 20, thresholds)

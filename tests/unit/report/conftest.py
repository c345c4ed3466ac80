"""Two rendered pages: of the planted study, and of one where nothing happened."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_results", Path(__file__).with_name("planted_results.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = load().render(tmp_path_factory.mktemp("planted"), 20)
    return path


@pytest.fixture(scope="session")
def empty_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = load().render(tmp_path_factory.mktemp("nothing"), 0)
    return path

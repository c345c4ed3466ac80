import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from rlgen_k8s.stages.contract import Context, ResumePoint
from rlgen_k8s.world.sets import Sizes, build

SIZES = Sizes(problems=150, questions=120, math500=60, conversations=150, pages=150, pretraining=1500, teaching=300)


@dataclass
class FolderResume:
    """Resume points in a folder, as an earlier attempt left them."""

    root: Path
    points: list[ResumePoint] = field(default_factory=list)

    def newest(self) -> ResumePoint | None:
        return self.points[-1] if self.points else None

    def save(self, step: int, folder: Path) -> None:
        self.points.append(ResumePoint(step, Path(shutil.copytree(folder, self.root / str(step)))))

    def part(self, name: str) -> "FolderResume":
        return FolderResume(self.root / "parts" / name)


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small mirror of the made-up sets."""
    folder = tmp_path_factory.mktemp("mirror")
    build(folder, SIZES, seed=0, progress=lambda done, total: None)
    return folder


@pytest.fixture
def own_mirror(mirror: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(mirror, tmp_path / "mirror"))


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context[Any]]:
    """Builds a stage's context with folders of its own."""

    def make(settings: Any, name: str = "stage", resume: Any = None, **inputs: Path) -> Context[Any]:
        out, scratch = tmp_path / name / "out", tmp_path / name / "scratch"
        out.mkdir(parents=True)
        scratch.mkdir()
        resume = resume or FolderResume(tmp_path / name / "resume")
        return Context(settings, inputs, out, scratch, resume, lambda done, total: None, lambda metrics, step: None)

    return make


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[dict[str, Any]]]:
    """The rows of a split in a mirror, read past the data-sets library."""

    def read(mirror: Path, hub: str, split: str) -> list[dict[str, Any]]:
        (file,) = (mirror / hub).rglob(f"{split}-*.parquet")
        table: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        return table

    return read


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reader() -> ModuleType:
    """Answers problems and questions from their text alone."""
    return _module("reader")


@pytest.fixture(scope="session")
def server() -> ModuleType:
    """A hub over a folder."""
    return _module("hub_server")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with a chat template of its own, and files that stand for weights."""
    from rlgen_k8s.stages.model.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(["one two three four"], vocabulary=300)
    tokenizer.chat_template = "{{ 'dated: ' + messages[0].content }}"
    tokenizer.add_special_tokens({"bos_token": "<|begin_of_text|>"})
    tokenizer.save_pretrained(folder)
    for name in ("model.safetensors", "pytorch_model.bin"):
        (folder / name).write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder

"""A small study as its runner and its stages tell tracking about it."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.store.files import FileEntry
from rlgen_k8s.store.keys import stage_key
from rlgen_k8s.store.manifest import Identity, Manifest, Provenance
from rlgen_k8s.tracking.events import Node
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.reading import reading
from rlgen_k8s.tracking.replay import replay
from rlgen_k8s.tracking.stage_run import open_stage_run
from rlgen_k8s.tracking.submission import open_submission

FILES = {
    "grpo": tuple(f"checkpoints/{k}/config.json" for k in range(1, 6)),
    "stream": ("one/config.json", "two/config.json"),
}


def addresses(learning_rate: float) -> dict[str, str]:
    """The study's results by task, with keys as the planner makes them."""
    found: dict[str, str] = {}
    for task, stage, settings, inputs in tasks(found, learning_rate):
        found[task] = f"{stage}/{stage_key(stage, 1, settings, inputs)}"
    return found


def tasks(found: Mapping[str, str], learning_rate: float) -> Any:
    """Task, stage, settings and inputs, in an order in which inputs come first."""
    yield "mirror", "mirror", {"seed": 1}, {}
    yield "base", "model", {"seed": 1}, {"mirror": found["mirror"]}
    yield "problems", "problems", {"seed": 1}, {"mirror": found["mirror"]}
    yield "grpo", "grpo", {"learning_rate": learning_rate}, {"base": found["base"], "problems": found["problems"]}
    rl = f"{found['grpo']}/checkpoints/5"
    yield "evaluate-rl", "evaluate", {"limit": 3}, {"model": rl, "mirror": found["mirror"]}
    yield "crosscoder", "crosscoder", {"features": 8}, {"model-base": found["base"], "model-rl": rl}
    yield "stream", "stream", {"features": 8}, {"model-base": found["base"], "model-rl": rl}
    report = {name: found[name] for name in ("crosscoder", "evaluate-rl")}
    yield "report", "report", {}, report | {"crosscoder-two": f"{found['stream']}/two"}


def manifest(stage: str, settings: dict[str, Any], inputs: dict[str, str]) -> Manifest:
    identity = Identity(stage=stage, version=1, settings=settings, inputs=inputs)
    now = datetime.now(UTC)
    paths = FILES.get(stage, ("result.json",))
    return Manifest(
        address=identity.address,
        identity=identity,
        attempt="1",
        files=tuple(FileEntry(path=path, size=1, sha256="0" * 64) for path in paths),
        started=now,
        finished=now,
        provenance=Provenance(code="0", packages={}, image=""),
    )


Submit = Callable[..., str]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of an empty database, which takes MLflow seconds to make, made once."""
    environ = {"RLGEN_HOME": str(tmp_path_factory.mktemp("template"))}
    with reading(environ):
        return next(spool_folder(environ).glob("template-*.db"))


def new_home(folder: Path, template: Path) -> dict[str, str]:
    environ = {"RLGEN_HOME": str(folder / "home")}
    spool_folder(environ).mkdir(parents=True)
    shutil.copy(template, spool_folder(environ))
    return environ


def submitting(environ: dict[str, str]) -> Submit:
    """Tells the spool of a whole submission; tasks whose result an earlier one published are hits."""
    published: set[str] = set()

    def _submit(learning_rate: float = 1e-3, accuracy: float = 0.5) -> str:
        found = addresses(learning_rate)
        nodes = [
            Node(task=task, address=address, verdict="hit" if address in published else "run")
            for task, address in found.items()
        ]
        settings = {"seed": 1, "grpo": {"learning_rate": learning_rate, "clip": [0.22, 0.28]}}
        submission = open_submission("small", settings, nodes, environ)
        inside = environ | {"RLGEN_SUBMISSION": submission.id}
        for task, stage, options, inputs in tasks(found, learning_rate):
            if found[task] in published:
                continue
            run = open_stage_run(task, stage, found[task].split("/")[1], options, inputs, inside)
            if stage == "problems":
                run.log({"count": 7.0}, None)
            if stage == "evaluate":
                run.log({"sciq": accuracy}, None)
            if stage == "crosscoder":
                for step in range(3):
                    run.log({"loss": 3.0 - step, "nan": float("nan"), "weight": 0.5}, step)
                run.log({"variance_explained": 0.9}, None)
            if stage == "stream":
                run.log({"one/l0": 1.0, "two/l0": 2.0}, None)
            run.finish("done", manifest(stage, options, inputs))
            published.add(found[task])
        submission.finish("done")
        return submission.id

    return _submit


@pytest.fixture
def environ(tmp_path: Path, template: Path) -> dict[str, str]:
    return new_home(tmp_path, template)


@pytest.fixture
def submit(environ: dict[str, str]) -> Submit:
    return submitting(environ)


@dataclass(frozen=True)
class Told:
    """A home whose spool was told of these submissions; several tests read it."""

    environ: dict[str, str]
    submissions: tuple[str, ...]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Told:
    """One submission, in MLflow."""
    environ = new_home(tmp_path_factory.mktemp("once"), template)
    submission = submitting(environ)(accuracy=0.625)
    replay(spool_folder(environ), tracking_uri(environ))
    return Told(environ, (submission,))


@pytest.fixture(scope="session")
def twice(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Told:
    """Two submissions that differ in GRPO's learning rate and what came of it."""
    environ = new_home(tmp_path_factory.mktemp("twice"), template)
    submit = submitting(environ)
    return Told(environ, (submit(1e-3, accuracy=0.5), submit(1e-2, accuracy=0.75)))

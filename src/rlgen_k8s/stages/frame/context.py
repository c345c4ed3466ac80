"""Contexts for a stage that is run by hand, in a test or an experiment."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.frame.resume import StoredResume
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.store.folder import FolderBlobs
from rlgen_k8s.store.results import Store

S = TypeVar("S", bound=StageSettings)


def local_context(settings: S, inputs: Mapping[str, Path], out: Path) -> Context[S]:
    """A context without store, progress or tracking.

    `out` is made. Resume points are kept in the folder `<out>.resume`, so a second context on the same `out` goes on
    from them. Use `dataclasses.replace` to watch progress or metrics.
    """
    out.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="rlgen-"))
    points = Store(FolderBlobs(out.with_name(f"{out.name}.resume")))
    return Context(
        settings=settings,
        inputs=dict(inputs),
        out=out,
        scratch=scratch,
        resume=StoredResume(points, address="by-hand", attempt="by-hand", scratch=scratch),
        progress=lambda done, total: None,
        metrics=lambda metrics, step: None,
    )

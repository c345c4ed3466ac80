"""The stages by name: the version that goes into keys, the settings, and the module that holds `run`.

A stage `x` lives in `stages/x/`: `settings.py` (light: pydantic only) and `run.py` (heavy imports allowed).
Raise a version when the same settings and inputs give another result than before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.intervene.settings import InterveneSettings
from rlgen_k8s.stages.merge.settings import MergeSettings
from rlgen_k8s.stages.mirror.settings import MirrorSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.stages.report.settings import ReportSettings
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.stages.traces.settings import TracesSettings


@dataclass(frozen=True)
class Stage:
    """A stage's identity."""

    name: str
    version: int
    settings: type[StageSettings]

    def load(self) -> Callable[[Context[Any]], None]:
        """Import the stage's module (this is where torch and the trainers come in) and return its `run`."""
        run: Callable[[Context[Any]], None] = import_module(f"rlgen_k8s.stages.{self.name}.run").run
        return run


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("mirror", 2, MirrorSettings),
        Stage("model", 1, ModelSettings),
        Stage("problems", 1, ProblemsSettings),
        Stage("traces", 1, TracesSettings),
        Stage("merge", 1, MergeSettings),
        Stage("sft", 1, SftSettings),
        Stage("grpo", 2, GrpoSettings),
        Stage("evaluate", 1, EvaluateSettings),
        Stage("corpus", 1, CorpusSettings),
        Stage("harvest", 2, HarvestSettings),
        Stage("crosscoder", 4, CrosscoderSettings),
        Stage("stream", 2, StreamSettings),
        Stage("analyse", 5, AnalyseSettings),
        Stage("intervene", 2, InterveneSettings),
        Stage("report", 7, ReportSettings),
    )
}

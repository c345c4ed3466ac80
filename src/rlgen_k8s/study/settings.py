"""A study: the settings of every stage, and the shape of the pods that run them."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.intervene.settings import InterveneSettings
from rlgen_k8s.stages.mirror.settings import MirrorSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.stages.report.settings import ReportSettings
from rlgen_k8s.stages.settings import StageSettings, instead, setting
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.stages.traces.settings import TracesSettings
from rlgen_k8s.study.cost import CostSettings


class PodShape(BaseModel):
    """What a stage's pod asks for. No part of a key: a result does not depend on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: float = setting(1, doc="Processor cores requested.", unit="cores", source="ours: measured", gt=0)
    memory: float = setting(2, doc="Memory requested, and its limit.", unit="GiB", source="ours: measured", gt=0)
    gpus: int = setting(0, doc="GPUs (nvidia.com/gpu).", unit="GPUs", source="ours", ge=0)
    processes: int = setting(
        1,
        doc="Processes that share the work where there are no GPUs, for one runs on each GPU; of stream only.",
        unit="processes",
        source="ours",
        ge=1,
    )
    nodes: int = setting(
        1,
        doc="Pods that run the stage together, each of this shape; more than 1: a gang, through JobSet and Kueue.",
        unit="pods",
        source="ours",
        ge=1,
    )
    resume_steps: int | None = setting(
        None,
        doc="Most steps between two points that a stopped training goes on from; none: its five checkpoints only. Of "
        "sft and grpo only.",
        unit="steps",
        source="ours",
        ge=1,
    )
    minutes: float = setting(
        1,
        doc="Expected duration, for `rlgen plan` and for what starts first.",
        unit="min",
        source="ours: measured",
        gt=0,
    )
    patience: float = setting(
        15,
        doc="Time without progress after which an attempt is ended, and tried again.",
        unit="min",
        source="ours",
        gt=0,
    )
    disk: float = setting(
        4, doc="Scratch space on the node's disk: requested, and its limit.", unit="GiB", source="ours: measured", gt=0
    )

    @property
    def queued(self) -> bool:
        """Whether Kueue lets it in, where the platform has a queue."""
        return self.gpus > 0 or self.nodes > 1


class Study(StageSettings):
    """One study, from base model to report. The DAG is the same for every study; only these settings differ."""

    name: str = setting(
        doc="Name of the study, of its MLflow experiment and of its workflows.",
        source="ours",
        pattern=r"^[a-z][a-z0-9-]{0,40}$",
    )
    seed: int = setting(0, doc="The seed that every stage's own seed is filled with.", source="ours", ge=0)
    replicates: tuple[Annotated[int, Field(ge=0)], ...] = setting(
        (),
        doc="Seeds of further whole trainings, from data to evaluation, set beside this one in the report.",
        source="ours: does what was learnt depend on the seed?",
    )
    activations: Literal["stored", "streamed"] = setting(
        "stored",
        doc="How crosscoders get activations: stored, a harvest writes them to the store and each crosscoder is a task "
        "of its own; streamed, one task runs all models and trains all crosscoders beside them, and stores none. The "
        "crosscoders are the same. Stored, 400 M tokens of width 2560 are 2 TB a model.",
        source="ours",
    )
    crosscoder_seeds: tuple[Annotated[int, Field(ge=0)], ...] = setting(
        (),
        doc="Seeds of further starts of the joint crosscoder and of the last SFT and RL checkpoint's; the report "
        "matches their features with the first's.",
        source="docs/study.md, weaknesses: feature identity",
    )
    crosscoder_weights: tuple[Annotated[float, Field(gt=0)], ...] = setting(
        (),
        doc="Further λ's with which the joint crosscoder is trained; their features are matched with the first's.",
        source="docs/study.md, weaknesses: L1",
    )
    crosscoder_sizes: tuple[Annotated[int, Field(ge=1)], ...] = setting(
        (),
        doc="Further numbers of features with which the joint crosscoder is trained; matched in the same way.",
        unit="features",
        source="ours: does what is found depend on the size of the dictionary?",
    )
    every_checkpoint: bool = setting(
        False,
        doc="Whether one crosscoder of base and all ten checkpoints is trained: a feature is the same one from the "
        "first to the last without matching, and MAS at equal drift is read from it.",
        source="docs/study.md, weaknesses: feature identity, drift",
    )
    noise_floor: bool = setting(
        False,
        doc="Whether crosscoders of base and base again, started apart, say what NRN and MAS spread by themselves.",
        source="docs/study.md, weaknesses: noise",
    )
    instruction: str = setting(
        "Please reason step by step, and put your final answer within \\boxed{}.",
        doc="Appended to every maths problem, in training and in evaluation.",
        source="Qwen's model cards; the paper is silent",
    )
    image: str = setting(
        "ghcr.io/rlgen-k8s/stages:0.1.0", doc="Image of the stages' pods.", source="ours", min_length=1
    )
    image_vllm: str = setting(
        "ghcr.io/rlgen-k8s/stages-vllm:0.1.0",
        doc="Image of the pods of stages whose engine is vLLM.",
        source="ours",
        min_length=1,
    )

    mirror: MirrorSettings = MirrorSettings()
    base: ModelSettings = setting(doc="The base model.", source="docs/study.md, settings")
    teacher: ModelSettings = setting(doc="The teacher whose traces SFT learns from.", source="docs/study.md, settings")
    problems: ProblemsSettings = ProblemsSettings()
    traces: TracesSettings = TracesSettings()
    sft: SftSettings = SftSettings()
    grpo: GrpoSettings = GrpoSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    corpus: CorpusSettings = CorpusSettings()
    harvest: HarvestSettings = HarvestSettings()
    crosscoder: CrosscoderSettings = CrosscoderSettings()
    analyse: AnalyseSettings = AnalyseSettings()
    intervene: InterveneSettings = InterveneSettings()
    report: ReportSettings = ReportSettings()

    pods: dict[str, PodShape] = Field(
        default_factory=dict,
        description="Shape of a stage's pods, by stage; a stage that is not named gets the default shape.",
        json_schema_extra={"unit": "", "source": "ours: measured"},
    )

    cost: CostSettings = CostSettings()

    @model_validator(mode="after")
    def _further_ones_differ(self) -> "Study":
        for name, what, own in (
            ("replicates", "seed", self.seed),
            ("crosscoder_seeds", "seed", self.seed),
            ("crosscoder_weights", "weight", self.crosscoder.sparsity_weight),
            ("crosscoder_sizes", "size", self.crosscoder.n_features),
        ):
            further: tuple[float, ...] = getattr(self, name)
            for one in further:
                if (own, *further).count(one) > 1:
                    raise ValueError(f"{name}: {what} {one} is the study's own or named twice; name each {what} once")
        if self.crosscoder_weights and self.crosscoder.activation == "batch_topk":
            raise ValueError("crosscoder_weights: crosscoder.activation batch_topk has no λ; drop one of the two")
        return self

    @model_validator(mode="after")
    def _every_shard_has_problems(self) -> "Study":
        chunks = math.ceil(self.problems.size / self.traces.resume_problems)
        if self.traces.shards > chunks:
            raise ValueError(
                f"traces.shards={self.traces.shards}: {self.problems.size} problems are {chunks} times "
                "traces.resume_problems; lower one of the two"
            )
        return self

    @model_validator(mode="after")
    def _only_the_study_fills(self) -> "Study":
        for stage, settings in self:
            if not isinstance(settings, StageSettings):
                continue
            for name, field in type(settings).model_fields.items():
                advice, given = instead(type(settings), name), getattr(settings, name)
                if advice and given != field.default:
                    raise ValueError(f"{stage}.{name}={given!r}: the study fills it; {advice}")
        return self

    @model_validator(mode="after")
    def _pods_name_stages(self) -> "Study":
        for stage, shape in self.pods.items():
            if stage not in STAGES:
                raise ValueError(f"pods.{stage}: no such stage; the stages are {', '.join(STAGES)}")
            if shape.processes > 1 and stage != "stream":
                raise ValueError(f"pods.{stage}.processes={shape.processes}: only stream shares its work; leave it out")
            if shape.resume_steps is not None and stage not in ("sft", "grpo"):
                raise ValueError(f"pods.{stage}.resume_steps={shape.resume_steps}: only sft and grpo; leave it out")
        return self

    @model_validator(mode="after")
    def _gangs_share_the_work(self) -> "Study":
        for stage, shape in self.pods.items():
            if shape.nodes > 1 and stage not in ("sft", "grpo", "stream"):
                raise ValueError(
                    f"pods.{stage}.nodes={shape.nodes}: only sft, grpo and stream run on several nodes; leave it at 1"
                )
            shared = {
                "sft": ("sft.processes", self.sft.processes, 1),
                "grpo": ("grpo.n_gpus", self.grpo.n_gpus, self.grpo.tensor_parallel),
            }
            if stage not in shared:
                continue
            name, number, together = shared[stage]
            if number % (shape.nodes * together):
                raise ValueError(
                    f"pods.{stage}.nodes={shape.nodes}: {name}={number} cannot be shared evenly; "
                    f"make it a multiple of {shape.nodes * together}"
                )
        return self

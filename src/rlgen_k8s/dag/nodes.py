"""The DAG of the study, on one page. Every address is known here, before anything has run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from rlgen_k8s.dag.contents import contents_of
from rlgen_k8s.stages.contract import CHECKPOINTS
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.merge.settings import MergeSettings
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.stages.stream.settings import Asked, StreamSettings
from rlgen_k8s.stages.traces.settings import TracesSettings
from rlgen_k8s.store.keys import address_of, stage_key
from rlgen_k8s.study.settings import PodShape, Study


@dataclass(frozen=True)
class Input:
    """A result, or a folder inside it, that a node reads."""

    node: "Node"
    path: str = ""

    @property
    def address(self) -> str:
        """`stage/key` or `stage/key/path`."""
        return f"{self.node.address}/{self.path}" if self.path else self.node.address


@dataclass(frozen=True)
class Node:
    """One task of the DAG: a stage with its settings and inputs."""

    name: str
    stage: str
    settings: StageSettings
    inputs: Mapping[str, Input]
    shape: PodShape

    @cached_property
    def key(self) -> str:
        """The key of this node's result."""
        return stage_key(self.stage, STAGES[self.stage].version, self.settings_json, self.input_addresses)

    @property
    def address(self) -> str:
        """Where this node's result is, or will be."""
        return address_of(self.stage, self.key)

    @property
    def settings_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return self.settings.model_dump(mode="json")

    @property
    def input_addresses(self) -> dict[str, str]:
        """The address of each input, by name."""
        return {name: item.address for name, item in self.inputs.items()}

    @property
    def dependencies(self) -> list["Node"]:
        """The nodes whose results this one reads, each once."""
        return list({item.node.name: item.node for item in self.inputs.values()}.values())

    @property
    def on_vllm(self) -> bool:
        """Whether it needs the image that has vLLM."""
        return getattr(self.settings, "engine", "") == "vllm"

    def at(self, path: str) -> Input:
        """A folder inside this node's result."""
        return Input(self, path)


@dataclass(frozen=True)
class Training:
    """One whole training: base model, SFT and RL with one seed, each evaluated on the same tasks."""

    mirror: Node
    base: Node
    problems: Node
    traces: Node
    sft: Node
    grpo: Node
    final: Mapping[str, Node | Input]
    """By model: base, sft, rl as they are after training."""
    evaluations: Mapping[str, Node]
    """By model."""

    @property
    def checkpoints(self) -> dict[str, Node | Input]:
        """The models of the crosscoders: base, and sft-1 … rl-5 as they are after each fifth of their training."""
        trained = {"sft": self.sft, "rl": self.grpo}
        models: dict[str, Node | Input] = {"base": self.base}
        for k in range(1, CHECKPOINTS + 1):
            models |= {f"{name}-{k}": node.at(f"checkpoints/{k}") for name, node in trained.items()}
        return models


def plan(study: Study) -> list[Node]:
    """All nodes of `study`, each after the nodes it reads."""
    node = _maker(study, study.seed)
    main = _train(study, node)
    replicates = {seed: _train(study, _maker(study, seed, f"-seed{seed}")) for seed in study.replicates}

    corpus = node("corpus", "corpus", study.corpus, {"mirror": main.mirror, "base": main.base})
    make = {"stored": _on_stored, "streamed": _on_a_stream}[study.activations]
    crosscoders = make(study, node, corpus, main, _crosscoders(study))

    analyse = node(
        "analyse",
        "analyse",
        study.analyse,
        {
            **{f"crosscoder-{name}": trained for name, trained in crosscoders.items()},
            **{f"evaluation-{name}": evaluation for name, evaluation in main.evaluations.items()},
            "corpus": corpus,
            **{f"model-{name}": model for name, model in main.checkpoints.items()},
        },
    )

    def intervene(model: str, direction: str) -> Node:
        inputs = {
            "model": main.final[model],
            "mirror": main.mirror,
            "corpus": corpus,
            "crosscoder": crosscoders["joint"],
            "features": analyse,
            "evaluation-base": main.evaluations["base"],
            "evaluation-rl": main.evaluations["rl"],
        }
        return node(f"intervene-{model}", "intervene", study.intervene, inputs, direction=direction)

    interventions = [intervene("rl", "zero"), intervene("base", "raise")]
    report = node(
        "report",
        "report",
        study.report,
        {
            "analyse": analyse,
            "problems": main.problems,
            "traces": main.traces,
            "sft": main.sft,
            "grpo": main.grpo,
            "corpus": corpus,
            **{f"evaluation-{name}": evaluation for name, evaluation in main.evaluations.items()},
            **{f"crosscoder-{name}": trained for name, trained in crosscoders.items()},
            **{item.name: item for item in interventions},
            **{
                f"evaluation-{name}-seed{seed}": evaluation
                for seed, training in replicates.items()
                for name, evaluation in training.evaluations.items()
            },
        },
        study_settings=study.model_dump_json(exclude={"pods", "image", "image_vllm", "cost"}),
    )
    return list(_in_order(report))


def _train(study: Study, node: Callable[..., Node]) -> Training:
    """From the data sets to the evaluations, of nodes that `node` makes."""
    mirror = node("mirror", "mirror", study.mirror, {})
    base = node("base", "model", study.base, {"mirror": mirror})
    teacher = node("teacher", "model", study.teacher, {"mirror": mirror})
    problems = node("problems", "problems", study.problems, {"mirror": mirror})
    traces = _shared(node, "traces", "traces", study.traces, {"problems": problems, "teacher": teacher}, "problems")
    sft = node("sft", "sft", study.sft, {"base": base, "traces": traces})
    grpo = node("grpo", "grpo", study.grpo, {"base": base, "problems": problems})
    last = f"checkpoints/{CHECKPOINTS}"
    final: dict[str, Node | Input] = {"base": base, "sft": sft.at(last), "rl": grpo.at(last)}
    evaluations = {
        name: _shared(node, f"evaluate-{name}", "evaluate", study.evaluate, {"model": model, "mirror": mirror})
        for name, model in final.items()
    }
    return Training(mirror, base, problems, traces, sft, grpo, final, evaluations)


def _shared(
    node: Callable[..., Node],
    name: str,
    stage: Literal["traces", "evaluate"],
    settings: TracesSettings | EvaluateSettings,
    inputs: Mapping[str, Node | Input],
    *order: str,
) -> Node:
    """One node, or a node for each shard and one that puts theirs together; that one reads the inputs `order` too."""
    if settings.shards == 1:
        return node(name, stage, settings, inputs)
    shards = {
        f"shard-{i + 1}": node(f"{name}-{i + 1}", stage, settings, inputs, shard=i) for i in range(settings.shards)
    }
    return node(name, "merge", MergeSettings(of=stage), {**{label: inputs[label] for label in order}, **shards})


def _crosscoders(study: Study) -> dict[str, Asked]:
    """The crosscoders that the study asks for. Their models are base and `sft-1` … `rl-5`, the checkpoints."""
    checkpoints = [(name, f"{name}-{k}") for name in ("sft", "rl") for k in range(1, CHECKPOINTS + 1)]
    asked = {each: Asked(models=("base", name), reads=("base", each)) for name, each in checkpoints}
    last = (f"sft-{CHECKPOINTS}", f"rl-{CHECKPOINTS}")
    joint = asked["joint"] = Asked(models=("base", "sft", "rl"), reads=("base", *last))
    for seed in study.crosscoder_seeds:
        for name in ("joint", *last):
            asked[f"{name}-seed{seed}"] = asked[name].model_copy(update={"start_seed": seed})
    for weight in study.crosscoder_weights:  # 0.25 is 0p25: the names of tasks have no dots
        asked[f"joint-lambda{weight:g}".replace(".", "p")] = joint.model_copy(update={"sparsity_weight": weight})
    for size in study.crosscoder_sizes:
        asked[f"joint-size{size}"] = joint.model_copy(update={"n_features": size})
    if study.every_checkpoint:
        models = ("base", *(each for _, each in checkpoints))
        asked["all"] = Asked(models=models, reads=models)
    if study.noise_floor:
        asked["noise"] = Asked(models=("base", "copy"), reads=("base", "base"), start_apart=True)
        asked["noise-joint"] = Asked(models=("base", "copy1", "copy2"), reads=("base",) * 3, start_apart=True)
    return asked


def _on_stored(
    study: Study, node: Callable[..., Node], corpus: Node, main: Training, asked: Mapping[str, Asked]
) -> dict[str, Node | Input]:
    """Three harvests, and a node for each crosscoder."""
    models = main.checkpoints
    stored: dict[str, Input] = {}
    for method in ("base", "sft", "rl"):
        mine = {name: model for name, model in models.items() if name.startswith(method)}
        harvest = node(f"harvest-{method}", "harvest", study.harvest, {"corpus": corpus, **mine})
        stored |= {name: harvest.at(name) for name in mine}
    made: dict[str, Node | Input] = {}
    for name, one in asked.items():
        inputs: dict[str, Node | Input] = {"corpus": corpus}
        for label, model in zip(one.models, one.reads, strict=True):
            inputs |= {f"model-{label}": models[model], f"activations-{label}": stored[model]}
        made[name] = node(f"crosscoder-{name}", "crosscoder", study.crosscoder, inputs, **one.own)
    return made


def _on_a_stream(
    study: Study, node: Callable[..., Node], corpus: Node, main: Training, asked: Mapping[str, Asked]
) -> dict[str, Node | Input]:
    """One node for all crosscoders."""
    inputs = {"corpus": corpus, **{f"model-{name}": model for name, model in main.checkpoints.items()}}
    harvest, crosscoder = (part.model_copy(update={"seed": study.seed}) for part in (study.harvest, study.crosscoder))
    fill = {"harvest": harvest, "crosscoder": crosscoder, "crosscoders": dict(asked)}
    stream = node("stream", "stream", StreamSettings(), inputs, **fill)
    return {name: stream.at(name) for name in asked}


def _maker(study: Study, seed: int, suffix: str = "") -> Callable[..., Node]:
    """What makes the study's nodes with this seed. `suffix` ends their names, which are no part of their keys."""

    def node(name: str, stage: str, settings: StageSettings, inputs: Mapping[str, Node | Input], **fill: Any) -> Node:
        common = {"seed": seed, "instruction": study.instruction}
        update = {k: v for k, v in common.items() if k in type(settings).model_fields} | fill
        if path := getattr(settings, "path", None):
            update["contents"] = contents_of(f"{name}.path", Path(path))
        refs = {label: Input(item) if isinstance(item, Node) else item for label, item in inputs.items()}
        shape = study.pods.get(stage, PodShape())
        return Node(name + suffix, stage, type(settings).model_validate(settings.model_dump() | update), refs, shape)

    return node


def _in_order(node: Node, seen: set[str] | None = None) -> Iterator[Node]:
    """`node` and all it reads, each once, inputs first."""
    seen = set() if seen is None else seen
    for item in node.dependencies:
        if item.name not in seen:
            yield from _in_order(item, seen)
    seen.add(node.name)
    yield node

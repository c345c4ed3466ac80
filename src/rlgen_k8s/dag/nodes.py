"""The DAG of the study, on one page. Every address is known here, before anything has run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlgen_k8s.dag.contents import contents_of
from rlgen_k8s.stages.contract import CHECKPOINTS
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.stages.settings import StageSettings
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

    def at(self, path: str) -> Input:
        """A folder inside this node's result."""
        return Input(self, path)


def plan(study: Study) -> list[Node]:
    """All nodes of `study`, each after the nodes it reads."""

    def node(name: str, stage: str, settings: StageSettings, inputs: Mapping[str, Node | Input], **fill: Any) -> Node:
        common = {"seed": study.seed, "instruction": study.instruction}
        update = {k: v for k, v in common.items() if k in type(settings).model_fields} | fill
        if path := getattr(settings, "path", None):
            update["contents"] = contents_of(f"{name}.path", Path(path))
        refs = {name: Input(item) if isinstance(item, Node) else item for name, item in inputs.items()}
        shape = study.pods.get(stage, PodShape())
        return Node(name, stage, type(settings).model_validate(settings.model_dump() | update), refs, shape)

    mirror = node("mirror", "mirror", study.mirror, {})
    base = node("base", "model", study.base, {"mirror": mirror})
    teacher = node("teacher", "model", study.teacher, {"mirror": mirror})
    problems = node("problems", "problems", study.problems, {"mirror": mirror})
    corpus = node("corpus", "corpus", study.corpus, {"mirror": mirror, "base": base})

    traces = node("traces", "traces", study.traces, {"problems": problems, "teacher": teacher})
    sft = node("sft", "sft", study.sft, {"base": base, "traces": traces})
    grpo = node("grpo", "grpo", study.grpo, {"base": base, "problems": problems})

    steps = range(1, CHECKPOINTS + 1)
    last = f"checkpoints/{CHECKPOINTS}"
    tuned = {"sft": sft, "rl": grpo}
    final: dict[str, Node | Input] = {"base": base, "sft": sft.at(last), "rl": grpo.at(last)}

    evaluations = {
        name: node(f"evaluate-{name}", "evaluate", study.evaluate, {"model": model, "mirror": mirror})
        for name, model in final.items()
    }

    harvests = {"base": node("harvest-base", "harvest", study.harvest, {"corpus": corpus, "base": base})}
    for name, trained in tuned.items():
        checkpoints = {str(k): trained.at(f"checkpoints/{k}") for k in steps}
        harvests[name] = node(f"harvest-{name}", "harvest", study.harvest, {"corpus": corpus, **checkpoints})

    def crosscoder(name: str, models: Mapping[str, tuple[Node | Input, Input]]) -> Node:
        inputs: dict[str, Node | Input] = {"corpus": corpus}
        for label, (model, activations) in models.items():
            inputs |= {f"model-{label}": model, f"activations-{label}": activations}
        return node(f"crosscoder-{name}", "crosscoder", study.crosscoder, inputs, models=tuple(models))

    of_base = (base, harvests["base"].at("base"))
    crosscoders = {
        f"{name}-{k}": crosscoder(
            f"{name}-{k}", {"base": of_base, name: (trained.at(f"checkpoints/{k}"), harvests[name].at(str(k)))}
        )
        for name, trained in tuned.items()
        for k in steps
    }
    crosscoders["joint"] = crosscoder(
        "joint",
        {"base": of_base} | {name: (final[name], harvests[name].at(str(CHECKPOINTS))) for name in tuned},
    )

    analyse = node(
        "analyse",
        "analyse",
        study.analyse,
        {
            **{f"crosscoder-{name}": trained for name, trained in crosscoders.items()},
            **{f"evaluation-{name}": evaluation for name, evaluation in evaluations.items()},
            "model-base": base,
            "model-rl": final["rl"],
        },
    )

    def intervene(model: str, direction: str) -> Node:
        inputs = {
            "model": final[model],
            "mirror": mirror,
            "corpus": corpus,
            "crosscoder": crosscoders["joint"],
            "features": analyse,
            "evaluation-base": evaluations["base"],
            "evaluation-rl": evaluations["rl"],
        }
        return node(f"intervene-{model}", "intervene", study.intervene, inputs, direction=direction)

    interventions = [intervene("rl", "zero"), intervene("base", "raise")]
    report = node(
        "report",
        "report",
        study.report,
        {
            "analyse": analyse,
            "problems": problems,
            "traces": traces,
            "sft": sft,
            "grpo": grpo,
            "corpus": corpus,
            **{f"harvest-{name}": harvest for name, harvest in harvests.items()},
            **{f"evaluation-{name}": evaluation for name, evaluation in evaluations.items()},
            **{f"crosscoder-{name}": trained for name, trained in crosscoders.items()},
            **{item.name: item for item in interventions},
        },
        study_settings=study.model_dump_json(exclude={"pods", "image"}),
    )
    return list(_in_order(report))


def _in_order(node: Node, seen: set[str] | None = None) -> Iterator[Node]:
    """`node` and all it reads, each once, inputs first."""
    seen = set() if seen is None else seen
    for item in node.dependencies:
        if item.name not in seen:
            yield from _in_order(item, seen)
    seen.add(node.name)
    yield node

"""Everything the page is made of, read from the stage's inputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlgen_k8s.stages.analyse.results import Analysis, Features, Portrait, Portraits
from rlgen_k8s.stages.intervene.results import Results

MODELS = ("base", "sft", "rl")
REPLICATE = "evaluation-base-seed"
"""Start of the input that every further training has; its seed follows."""
CROSSCODER = "crosscoder-"
"""Start of the input of every crosscoder; its name follows."""
DIRECTIONS = {"zero": "intervene-rl", "raise": "intervene-base"}


@dataclass(frozen=True)
class Run:
    """One run of the study."""

    analysis: Analysis
    features: Features
    portraits: Sequence[Portrait]
    """Of the features of interest."""
    samples: Mapping[str, pd.DataFrame]
    """By model: task, doc_id, outcome, outcome_normalized."""
    replicates: Mapping[int, Mapping[str, pd.DataFrame]]
    """The same of each further training, by its seed."""
    chance: Mapping[str, float]
    """By task: expected accuracy of an answer at random."""
    crosscoders: Mapping[str, Mapping[str, Any]]
    """`metrics.json` by crosscoder: sft-1 … rl-5, joint, and what the study asks for beside them."""
    interventions: Mapping[str, Results]
    """By direction: zero (RL model), raise (base model)."""
    changes: Mapping[str, pd.DataFrame]
    """By direction: condition, kind, task, doc_id, before, after."""
    training: Mapping[str, pd.DataFrame]
    """`training.jsonl` of sft and rl."""
    problems: Mapping[str, Any]
    traces: Mapping[str, Any]
    corpus: Mapping[str, Any]

    def outcomes(self, model: str, task: str) -> pd.Series:
        """Outcomes of `task`'s samples in the study's own training."""
        return outcomes_of(self.samples[model], task)


def outcomes_of(samples: pd.DataFrame, task: str) -> pd.Series:
    """Outcomes of `task`'s samples in order of `doc_id`; empty for a task that was not run."""
    return samples[samples["task"] == task].set_index("doc_id")["outcome"].sort_index()


def read(inputs: Mapping[str, Path]) -> Run:
    """Read all of it."""

    def samples(ending: str = "") -> dict[str, pd.DataFrame]:
        columns = ["task", "doc_id", "outcome", "outcome_normalized"]
        files = {model: inputs[f"evaluation-{model}{ending}"] / "samples.parquet" for model in MODELS}
        return {model: pd.read_parquet(file, columns=columns) for model, file in files.items()}

    seeds = [int(name.removeprefix(REPLICATE)) for name in inputs if name.startswith(REPLICATE)]
    results = {m: _json(inputs[f"evaluation-{m}"] / "results.json") for m in MODELS}
    crosscoders = [f"{name}-{k}" for name in ("sft", "rl") for k in range(1, 6)] + ["joint"]
    made = {name.removeprefix(CROSSCODER) for name in inputs if name.startswith(CROSSCODER)}
    crosscoders += sorted(made - set(crosscoders))
    return Run(
        analysis=Analysis.model_validate_json((inputs["analyse"] / "analysis.json").read_text()),
        features=Features.model_validate_json((inputs["analyse"] / "features.json").read_text()),
        portraits=Portraits.model_validate_json((inputs["analyse"] / "portraits.json").read_text()).features,
        samples=samples(),
        replicates={seed: samples(f"-seed{seed}") for seed in sorted(seeds)},
        chance={task: float(figures["chance"]) for task, figures in results["base"].items()},
        crosscoders={name: _json(inputs[CROSSCODER + name] / "metrics.json") for name in crosscoders},
        interventions={
            d: Results.model_validate_json((inputs[name] / "results.json").read_text())
            for d, name in DIRECTIONS.items()
        },
        changes={d: pd.read_parquet(inputs[name] / "samples.parquet") for d, name in DIRECTIONS.items()},
        training={
            name: pd.read_json(inputs[stage] / "training.jsonl", lines=True)
            for name, stage in {"sft": "sft", "rl": "grpo"}.items()
        },
        problems=_json(inputs["problems"] / "problems.json"),
        traces=_json(inputs["traces"] / "traces.json"),
        corpus=_json(inputs["corpus"] / "corpus.json"),
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text())

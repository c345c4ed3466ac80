"""Inputs of the report for the planted study of `analyse`: the real `analyse`, the rest written in its real schema."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from rlgen_k8s.stages.analyse.results import Features
from rlgen_k8s.stages.analyse.run import run as analyse
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.contract import Context, ResumePoint
from rlgen_k8s.stages.intervene.conditions import Condition
from rlgen_k8s.stages.intervene.contrasts import contrasts
from rlgen_k8s.stages.intervene.edits import unchanged
from rlgen_k8s.stages.intervene.loss import OnText
from rlgen_k8s.stages.intervene.results import Outcome, Results, alone, loss_row, rows_of
from rlgen_k8s.stages.report.run import run as report
from rlgen_k8s.stages.report.settings import ReportSettings


class NoResume:
    def newest(self) -> ResumePoint | None:
        return None

    def save(self, step: int, folder: Path) -> None:
        raise AssertionError("no resume points here")


def planted_study() -> ModuleType:
    path = Path(__file__).parents[1] / "analyse" / "planted_study.py"
    spec = importlib.util.spec_from_file_location("planted_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def render(folder: Path, critical: int) -> Path:
    """The whole way from planted inputs to `report.html`."""
    planted = planted_study()
    inputs = planted.write_study(folder, critical)
    settings = AnalyseSettings(seed=1, top=planted.TOP, sign_flips=999, random_sets=3, reference_prompts=50)
    inputs["analyse"] = _stage(analyse, settings, inputs, folder / "analyse")
    features = Features.model_validate_json((inputs["analyse"] / "features.json").read_text())
    _data(folder, inputs)
    _crosscoder_metrics(inputs)
    for direction, model in (("zero", "rl"), ("raise", "base")):
        inputs[f"intervene-{model}"] = _intervention(folder, inputs, features, direction, model)
    if critical:
        # Further trainings: one like the study's own, one whose SFT did nothing.
        for seed, models in ((5, ("base", "sft", "rl")), (7, ("base", "base", "rl"))):
            for model, source in zip(("base", "sft", "rl"), models, strict=True):
                inputs[f"evaluation-{model}-seed{seed}"] = inputs[f"evaluation-{source}"]
    study = {
        "name": "planted",
        "seed": 1,
        "sft": {"learning_rate": 3e-4, "batch": 128},
        "analyse": {"top": planted.TOP},
    }
    out = _stage(report, ReportSettings(study_settings=json.dumps(study)), inputs, folder / "report")
    return out / "report.html"


def _stage(run, settings, inputs, out):  # type: ignore[no-untyped-def]
    out.mkdir()
    run(Context(settings, inputs, out, out.parent, NoResume(), lambda _done, _total: None, lambda _f, _s: None))
    return out


def _write(folder: Path, name: str, inputs: dict[str, Path], files: dict[str, str]) -> None:
    inputs[name] = folder / name
    inputs[name].mkdir(exist_ok=True)
    for path, text in files.items():
        (inputs[name] / path).write_text(text)


def _data(folder: Path, inputs: dict[str, Path]) -> None:
    rng = np.random.default_rng(0)
    _write(
        folder, "problems", inputs,
        {"problems.json": json.dumps({"problems": 3000, "by_source": {"MATH": 1200, "DeepScaleR": 1800},
                                      "dropped": {"in an evaluation set": 12}})},
    )  # fmt: skip
    _write(
        folder, "traces", inputs,
        {"traces.json": json.dumps({"problems": 3000, "sampled": 4100, "accepted": 2900, "rate": 2900 / 4100,
                                    "tries": {"1": 2500, "2": 400}, "given_up": 100})},
    )  # fmt: skip
    _write(
        folder, "corpus", inputs,
        {"corpus.json": json.dumps({"length": 128, "separator": 0, "rule": "joined", "vocabulary": "x", "seed": 1,
                                    "digest": "x", "sequences": {"train": {"open-thoughts": 1000, "web": 1000},
                                                                 "evaluation": {"open-thoughts": 100, "web": 100}}})},
    )  # fmt: skip
    losses = [
        {"step": s, "loss": 0.4 + 1.2 * 0.9**s + 0.02 * rng.normal(), "learning_rate": 1e-4} for s in range(1, 31)
    ]
    rewards = [{"step": s, "reward": 0.9 - 0.6 * 0.85**s + 0.02 * rng.normal(), "entropy": 0.3} for s in range(1, 16)]
    for name, lines in (("sft", losses), ("grpo", rewards)):
        _write(folder, name, inputs, {"training.jsonl": "".join(json.dumps(line) + "\n" for line in lines)})


def _crosscoder_metrics(inputs: dict[str, Path]) -> None:
    for name in [n for n in inputs if n.startswith("crosscoder-")]:
        config = json.loads((inputs[name] / "config.json").read_text())
        one = {
            "scale": 0.71,
            "variance_explained": 0.83,
            "loss": 2.01,
            "loss_spliced": 2.16,
            "loss_ablated": 4.7,
            "loss_recovered": 0.944,
            "kl_spliced": 0.17,
            "kl_ablated": 2.9,
            "kl_recovered": 0.941,
            "own": 12,
            "own_confirmed": 9,
        }
        use = {"mean": 0.041, "low": 0.035, "high": 0.048, "n": 200}
        metrics = {
            "models": dict.fromkeys(config["models"], one), "own_use": dict.fromkeys(config["models"], use),
            "l0": 11.3, "dead": 14, "dense": 2,
            "n_features": config["n_features"], "steps": 250, "train_tokens": 256_000, "evaluation_tokens": 25_600,
            "layer": 1, "width": 16, "dtype": "float32",
        }  # fmt: skip
        (inputs[name] / "metrics.json").write_text(json.dumps(metrics))


def _intervention(folder: Path, inputs: dict[str, Path], features: Features, direction: str, model: str) -> Path:
    """Outcomes under each condition: the intervention flips 40 % of critical samples, controls 10 %, others 3 %."""
    rng = np.random.default_rng(5)
    base, rl = (pd.read_parquet(inputs[f"evaluation-{m}"] / "samples.parquet") for m in ("base", "rl"))
    own = rl if model == "rl" else base
    own = own[own["task"].isin(list(features.cells))]
    outcomes = {(r.task, r.doc_id): Outcome(r.outcome, 0) for r in own.itertuples()}
    other = {(r.task, r.doc_id): r.outcome for r in (base if model == "rl" else rl).itertuples()}
    critical = {(t, d) for t, part in features.critical.items() for d in (*part.selection, *part.held_out)}
    critical |= {(t, d) for t, docs in features.unseen_critical.items() for d in docs}
    groups = {(t, s): getattr(p, s) for t, p in features.critical.items() for s in ("selection", "held_out")}
    groups |= {(t, "unseen"): docs for t, docs in features.unseen_critical.items()}
    whole = dict(groups)
    for task in features.cells:
        keys = [key for key in outcomes if key[0] == task]
        whole[task, "whole"] = [doc for _t, doc in keys]
        for cell, (b, r) in {
            "both_right": (1, 1),
            "only_base": (1, 0),
            "only_rl": (0, 1),
            "both_wrong": (0, 0),
        }.items():
            pair = (r, b) if model == "rl" else (b, r)
            whole[task, cell] = [key[1] for key in keys if (outcomes[key].right, other[key]) == pair]
    chosen = features.generalization or features.fallback
    for task, part in features.critical.items():
        groups[task, "critical"] = whole[task, "critical"] = sorted([*part.selection, *part.held_out])
    rows, samples, answered = [], [], {}
    plan = [("main", "main", 0.4), ("paper", "paper", 0.6), ("dose 0.5", "dose", 0.25)]
    plan += [(f"random features {i}", "random_features", 0.1) for i in (1, 2, 3)]
    plan += [(f"random direction {i}", "random_directions", 0.05) for i in (1, 2, 3)]
    for name, kind, share in plan if chosen else []:
        after = {
            key: Outcome(1 - o.right if rng.random() < (share if key in critical else 0.03) else o.right, 0)
            for key, o in outcomes.items()
        }
        condition = Condition(name, kind, unchanged, kind == "main")  # type: ignore[arg-type]
        on_all = kind == "main" or name.endswith("1")
        answered.setdefault(kind, []).append(after)
        rows += rows_of(condition, outcomes, after, whole if on_all else groups, 0)
        samples += [
            {"condition": name, "kind": kind, "task": t, "doc_id": d, "before": outcomes[t, d].right,
             "after": o.right, "choice_before": 0, "choice_after": 0}
            for (t, d), o in after.items() if on_all or (t, d) in critical
        ]  # fmt: skip
    text = rng.normal(2.0, 0.1, 64)
    losses = [
        loss_row(Condition(n, k, unchanged, True), OnText(text, np.zeros(64)),  # type: ignore[arg-type]
                 OnText(text + c, np.full(64, c) * text), 128)
        for n, k, c in (("main", "main", 0.05), ("random features 1", "random_features", 0.04))
    ]  # fmt: skip
    results = Results(
        finding=None
        if chosen
        else "no generalization features: the tasks' feature sets have nothing in common, "
        "and no feature was chosen in any",
        direction=direction,  # type: ignore[arg-type]
        model=model,
        layer=features.layer,
        feature_set="generalization" if chosen else "none",
        features=chosen,
        value=3.0 if direction == "raise" else None,
        value_over_maximum={i: 3.0 / features.max_activation[str(i)] for i in chosen} if direction == "raise" else {},
        as_evaluated=0.998 if chosen else None,
        paper_features=chosen,
        rows=rows,
        contrasts=contrasts(answered, outcomes, whole, direction, 0) if chosen else [],
        loss=losses if chosen else [],
        alone={
            i: alone(OnText(text, np.zeros(64)), OnText(text + 0.01, np.full(64, 0.01) * text))
            for i in (features.of_interest if chosen else [])
        },
    )
    out = folder / f"intervene-{model}"
    out.mkdir()
    (out / "results.json").write_text(results.model_dump_json())
    columns = ["condition", "kind", "task", "doc_id", "before", "after", "choice_before", "choice_after"]
    pd.DataFrame(samples, columns=columns).to_parquet(out / "samples.parquet")
    return out

"""The stage: read, compute, write."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from rlgen_k8s.crosscoder.attribution import model_attribution_scores
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.saving import load_crosscoder
from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.stages.analyse.activations import PromptFeatures
from rlgen_k8s.stages.analyse.controls import matched_sets
from rlgen_k8s.stages.analyse.course import follow_course
from rlgen_k8s.stages.analyse.critical import pair_task, read_samples
from rlgen_k8s.stages.analyse.drift import measure_drift
from rlgen_k8s.stages.analyse.families import analyse_family
from rlgen_k8s.stages.analyse.generalization import Samples, choose_samples, find, held_out_scores, paper_protocol
from rlgen_k8s.stages.analyse.interest import features_of_interest
from rlgen_k8s.stages.analyse.portraits import portraits
from rlgen_k8s.stages.analyse.reading import FAMILIES, FINAL, count, on_device, read_models
from rlgen_k8s.stages.analyse.repeats import joint_noise_floor, noise_floor, repeats, restarts_of
from rlgen_k8s.stages.analyse.results import (
    Analysis,
    Controls,
    Family,
    Features,
    FeatureSets,
    Generalization,
    Portraits,
)
from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.analyse.specificity import mas_distribution
from rlgen_k8s.stages.contract import CHECKPOINTS, Context
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens


def run(context: Context[AnalyseSettings]) -> None:
    """Write `analysis.json`, `arrays.npz`, `features.json` and `portraits.json`."""
    settings, inputs = context.settings, context.inputs
    edges = np.linspace(0, 1, settings.bins + 1)
    arrays: dict[str, NDArray[np.generic]] = {}

    families = {}
    for name in FAMILIES:
        folders = [inputs[f"crosscoder-{name}-{k}"] for k in range(1, CHECKPOINTS + 1)]
        families[name], found = analyse_family(folders, restarts_of(inputs, name), settings, edges)
        arrays |= {f"{name}-{key}": value for key, value in found.items()}

    joint = load_crosscoder(inputs["crosscoder-joint"])
    rows = model_attribution_scores(joint.decoder_by_model).numpy()
    attribution = dict(zip(joint.models, rows, strict=True))
    arrays |= {f"mas-{name}": scores for name, scores in attribution.items()}

    again = repeats(inputs, joint, settings, edges)
    samples = _samples(inputs, settings)
    tokens = open_tokens(inputs["corpus"], "evaluation")
    text = tokens[: settings.drift_sequences]
    prompts = len(samples.wanted) + len(samples.reference)
    done = count(context, 2 * prompts + len(FAMILIES) * CHECKPOINTS * len(text))
    read = read_models(context, samples, joint, done)
    drift = measure_drift(inputs, text, settings, done)
    generalization, scores = find(samples, read.wanted["base"], read.wanted["rl"], read.layer, settings)
    arrays |= scores
    result = Analysis(
        top=settings.top,
        threshold=settings.threshold,
        same_feature_cosine=settings.same_feature_cosine,
        false_discovery_rate=settings.false_discovery_rate,
        edges=[float(edge) for edge in edges],
        families=families,
        mas={
            name: mas_distribution(row, again.scores[name], edges, settings.seed) for name, row in attribution.items()
        },
        drift=drift,
        noise=noise_floor(inputs, settings, edges),
        joint_noise=joint_noise_floor(inputs, settings, edges),
        repeats=again.found,
        course=follow_course(inputs, drift.nearest, settings, edges),
        generalization=generalization,
    )
    by_paper = paper_protocol(samples, read.wanted["base"], read.wanted["rl"], settings)
    stored = load_file(inputs["crosscoder-joint"] / "examples.safetensors")
    reasons = features_of_interest(
        generalization.intersection,
        generalization.fallback,
        by_paper.chosen,
        attribution,
        stored["histogram"].sum(dim=1).numpy() > 0,
    )
    features = _features(samples, generalization, by_paper, list(reasons), read.reference, joint, settings)
    known = portraits(
        reasons,
        joint,
        stored,
        {name: on_device(inputs[source]) for name, source in FINAL.items()},
        load_tokenizer(inputs["model-base"]),
        tokens,
        tokens != load_corpus_info(inputs["corpus"]).separator,
        attribution,
        again.matched,
        held_out_scores(samples, read.wanted["base"], read.wanted["rl"], list(reasons), settings.seed),
        settings.drift_batch,
    )
    (context.out / "analysis.json").write_text(result.model_dump_json(indent=1) + "\n")
    (context.out / "features.json").write_text(features.model_dump_json(indent=1) + "\n")
    (context.out / "portraits.json").write_text(Portraits(features=known).model_dump_json() + "\n")
    np.savez_compressed(context.out / "arrays.npz", **arrays)  # type: ignore[arg-type]
    context.metrics(_figures(families, generalization), None)


def _samples(inputs: Mapping[str, Path], settings: AnalyseSettings) -> Samples:
    """Pair the two evaluations, task by task, and split."""
    base, rl = (read_samples(inputs[f"evaluation-{name}"]) for name in ("base", "rl"))
    tasks, unseen = (
        {task: pair_task(base, rl, task) for task in names} for names in (settings.tasks, settings.unseen_tasks)
    )
    return choose_samples(tasks, unseen, settings)


def _features(
    samples: Samples,
    found: Generalization,
    by_paper: FeatureSets,
    of_interest: list[int],
    references: Mapping[str, PromptFeatures],
    joint: Crosscoder,
    settings: AnalyseSettings,
) -> Features:
    """What `intervene` is told: the sets, the controls, the samples, the scale of each named feature."""
    per_task = {task: item.selection["critical"].ids for task, item in found.tasks.items()}
    chosen = found.intersection or found.fallback
    largest = np.maximum(references["base"].largest, references["rl"].largest)
    random_sets = matched_sets(
        chosen,
        excluded={i for ids in per_task.values() for i in ids},
        norms=joint.decoder_by_model.norm(dim=-1).double().numpy(),
        rate=(references["base"].rate + references["rl"].rate) / 2,
        n_sets=settings.random_sets,
        rng=np.random.default_rng(settings.seed),
    )
    named = sorted({*chosen, *by_paper.chosen, *(i for ids in (*per_task.values(), *random_sets) for i in ids)})
    return Features(
        generalization=found.intersection,
        fallback=found.fallback,
        fallback_rule=found.fallback_rule,
        per_task=per_task,
        paper_protocol=by_paper,
        of_interest=of_interest,
        max_activation={str(i): float(largest[i]) for i in named},
        controls=Controls(random_features=random_sets),
        critical={task: kinds["critical"] for task, kinds in samples.splits.items()},
        unseen_critical={task: item.only_rl for task, item in samples.unseen.items()},
        layer=found.layer,
        cells={task: item.cells for task, item in (*samples.tasks.items(), *samples.unseen.items())},
    )


def _figures(families: Mapping[str, Family], found: Generalization) -> dict[str, float]:
    """The few figures by which two runs are compared."""
    tails = {f"nrn_above_0.7_{name}": family.nrn[-1].beyond[">0.7"].mean or 0.0 for name, family in families.items()}
    kept = {f"top_overlap_first_last_{name}": float(family.overlap[0][-1]) for name, family in families.items()}
    critical = {f"critical_{task}": float(item.cells.only_rl) for task, item in found.tasks.items()}
    return tails | kept | critical | {"generalization_features": float(len(found.intersection))}

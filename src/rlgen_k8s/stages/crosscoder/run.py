"""Stage `crosscoder`: train one crosscoder on stored activations and say what it is worth.

Inputs: corpus; and for each model m of `settings.models`, `model-<m>` (its folder) and `activations-<m>` (its folder of
a harvest). Result: `crosscoder.safetensors` and `config.json` (see `crosscoder.saving`), `features.safetensors`
(`crosscoder.measures.FeatureStatistics`), `scaling.safetensors` and `examples.safetensors` (see `described`),
`metrics.json`, `curve.jsonl`.
"""

import json

from safetensors.torch import save_file

from rlgen_k8s.crosscoder import measure, open_joint, save_crosscoder
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.crosscoder.described import describe
from rlgen_k8s.stages.crosscoder.fit import fit
from rlgen_k8s.stages.crosscoder.recovered import loss_recovered
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings


def run(context: Context[CrosscoderSettings]) -> None:
    """Train, save, measure on the evaluation shard."""
    settings = context.settings
    folders = {name: context.inputs[f"activations-{name}"] for name in settings.models}
    train = open_joint(folders, "train")
    trainer = fit(context, train)
    crosscoder = trainer.crosscoder
    save_crosscoder(crosscoder, context.out)

    held_out = open_joint(folders, "evaluation")
    measures = measure(crosscoder, held_out, dense_rate=settings.dense_rate)
    save_file(measures.features.tensors(), context.out / "features.safetensors")
    own = describe(crosscoder, held_out, context.inputs["corpus"], context.out, settings.seed)
    per_model = {}
    for name in settings.models:
        losses = loss_recovered(
            crosscoder,
            held_out,
            name=name,
            model_folder=context.inputs[f"model-{name}"],
            corpus=context.inputs["corpus"],
            sequences=settings.splice_sequences,
            batch=settings.splice_batch,
        )
        per_model[name] = {
            "variance_explained": measures.variance_explained[name],
            "loss": losses.original,
            "loss_spliced": losses.spliced,
            "loss_ablated": losses.ablated,
            "loss_recovered": losses.recovered,
            "kl_spliced": losses.kl_spliced,
            "kl_ablated": losses.kl_ablated,
            "kl_recovered": losses.kl_recovered,
            "own": own[name].features,
            "own_confirmed": own[name].confirmed,
        }
    counts = {"l0": measures.l0, "dead": measures.dead, "dense": measures.dense, "n_features": crosscoder.n_features}
    sizes = {"steps": trainer.step, "train_tokens": train.n_tokens, "evaluation_tokens": held_out.n_tokens}
    use = {name: found.use.model_dump() for name, found in own.items()}
    report = {"models": per_model, "own_use": use, **counts, **sizes}
    (context.out / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")
    flat = {f"{measure_name}_{name}": value for name, by in per_model.items() for measure_name, value in by.items()}
    context.metrics({**flat, **counts}, None)

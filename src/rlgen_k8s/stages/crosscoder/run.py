"""Stage `crosscoder`: train one crosscoder on stored activations and say what it is worth.

Inputs: corpus; and for each model m of `settings.models`, `model-<m>` (its folder) and `activations-<m>` (its folder of
a harvest). Result: see `measured`.
"""

from rlgen_k8s.crosscoder import open_joint
from rlgen_k8s.crosscoder.data import load_info
from rlgen_k8s.crosscoder.stream import PackedTokens, StoredActivations
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.crosscoder.fit import fit
from rlgen_k8s.stages.crosscoder.measured import Origin, save_measured
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.crosscoder.wanted import Wanted, recipe

NAME = "crosscoder"


def run(context: Context[CrosscoderSettings]) -> None:
    """Train, save, measure on the evaluation shard."""
    settings, corpus = context.settings, context.inputs["corpus"]
    folders = {name: context.inputs[f"activations-{name}"] for name in settings.models}
    info = load_info(folders[settings.models[0]])
    text = PackedTokens(open_tokens(corpus, "train"), load_corpus_info(corpus).separator, info.unit)
    source = StoredActivations(open_joint(folders, "train"), text, info.dtype)
    made_by = recipe(settings, unit=info.unit, scale_units=info.scale_units, corpus=info.corpus)
    wanted = Wanted(settings, settings.models, context.out)
    fitted = fit(context, source, made_by, {NAME: wanted}, settings, context.progress)
    models = {name: context.inputs[f"model-{name}"] for name in settings.models}
    origin = Origin(corpus, models, info.layer, info.dtype)
    save_measured(context, NAME, wanted, fitted, open_joint(folders, "evaluation"), origin)

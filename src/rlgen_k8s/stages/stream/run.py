"""Stage `stream`: each model runs once, to its middle layer, and feeds all crosscoders that are trained beside it.

Inputs: corpus; and `model-<name>` for each model. Result: for each crosscoder a folder of its name that holds what the
stage `crosscoder` publishes. Activations are not stored, but for the evaluation shard, which lies on local disk while
the stage runs.

One process runs for each GPU, of one pod or of several (see `team`): each runs its share of the models' forwards, and
trains and measures its share of the crosscoders on whole batches (see `placing`), which are to the bit those of one
process. In memory: the lower half of every model. On a GPU: that of the one that runs, its crosscoders' training state,
the stream's buffer of the models that these read, and in what is left as many models as fit, which then need not come
again.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder import JointActivations
from rlgen_k8s.crosscoder.data import open_shard
from rlgen_k8s.crosscoder.stream import LiveActivations, Order, PackedTokens
from rlgen_k8s.lm.device import on_device
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.lm.middle import drop_upper_half, middle_layer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.corpus.readers import check_readers
from rlgen_k8s.stages.crosscoder.fit import Fitted, fit
from rlgen_k8s.stages.crosscoder.measured import Origin, save_measured
from rlgen_k8s.stages.crosscoder.wanted import Wanted, recipe
from rlgen_k8s.stages.gang import gang_of
from rlgen_k8s.stages.harvest.shard import harvest_shard
from rlgen_k8s.stages.stream.placing import own_crosscoders
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.stages.stream.team import Team, in_team, process_count

MODEL = "model-"


def run(context: Context[StreamSettings]) -> None:
    """Train all, then measure one after another. A model, a step and a crosscoder's measures count one as progress."""
    in_team(make, context, process_count(os.environ), gang_of(os.environ))


def make(context: Context[StreamSettings], team: Team) -> None:
    """What one process of `team` does."""
    settings = context.settings
    folders = {name.removeprefix(MODEL): path for name, path in context.inputs.items() if name.startswith(MODEL)}
    check_readers(folders, load_corpus_info(context.inputs["corpus"]))
    wanted = {}
    for name, asked in settings.crosscoders.items():
        out = context.out / name
        out.mkdir(exist_ok=True)
        wanted[name] = Wanted(settings.of(name), asked.reads, out, f"{name}/")

    fitted, layer = _train(context, team, folders, wanted)
    done = len(folders) + fitted.steps
    for name, crosscoder in fitted.crosscoders.items():
        one = wanted[name]
        raw = tuple(open_shard(context.scratch / model, "evaluation") for model in one.reads)
        shard = JointActivations(crosscoder.models, raw, crosscoder.scales)
        models = {label: folders[model] for label, model in zip(crosscoder.models, one.reads, strict=True)}
        origin = Origin(context.inputs["corpus"], models, layer, settings.harvest.dtype)
        save_measured(context, name, one, fitted, shard, origin)
        context.progress(done + team.tally(), done + len(wanted))


def _train(
    context: Context[StreamSettings], team: Team, folders: Mapping[str, Path], wanted: Mapping[str, Wanted]
) -> tuple[Fitted, int]:
    """This process's crosscoders, and the layer that they read. Leaves `<model>/evaluation.npy` in the scratch folder,
    which the pod's processes share."""
    how, settings, files = context.settings.harvest, context.settings.crosscoder, context.inputs["corpus"]
    corpus = load_corpus_info(files)
    text = PackedTokens(open_tokens(files, "train"), corpus.separator, how.batch)
    made_by = recipe(settings, unit=how.batch, scale_units=how.scale_units, corpus=corpus.digest)
    order = Order(text.kept, made_by)
    total = len(folders) + order.total_steps + len(wanted)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models: dict[str, PreTrainedModel] = {}
    for number, (name, folder) in enumerate(folders.items()):
        models[name] = load_model(folder)
        drop_upper_half(models[name])
        if number % team.pod.count == team.pod.rank:
            shard = context.scratch / name
            shard.mkdir()
            with on_device(models[name], device):
                harvest_shard(
                    models[name],
                    open_tokens(files, "evaluation"),
                    corpus.separator,
                    shard,
                    "evaluation",
                    dtype=how.dtype,
                    batch=how.batch,
                    on_sequences=lambda _n: None,
                )
        context.progress(len(models), total)
    source = LiveActivations(models, text, how.dtype, device)
    fitted = fit(
        context,
        source,
        made_by,
        wanted,
        settings,
        lambda step, _steps: context.progress(len(models) + step, total),
        team.ranks,
        own_crosscoders(wanted, source, order, settings, team.ranks),
    )
    return fitted, middle_layer(next(iter(models.values())))

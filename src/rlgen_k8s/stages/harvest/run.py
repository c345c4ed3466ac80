"""Stage `harvest`: the residual stream of the middle layer, of several models, on the same tokens in one order.

Inputs: corpus, and any number of models by name. Result: `<model>/train.npy`, `<model>/evaluation.npy` (see
`crosscoder.data`) and `<model>/activations.json` for each. Row r is the r-th token of the shard in reading order that
is not a separator.
"""

import torch

from rlgen_k8s.crosscoder.data import ActivationsInfo, JointActivations, open_shard
from rlgen_k8s.crosscoder.stream import PackedTokens, StoredActivations, estimate_scales
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.lm.middle import middle_layer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.packed import FILES, load_corpus_info, open_tokens
from rlgen_k8s.stages.corpus.readers import check_readers
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.harvest.shard import harvest_shard


def run(context: Context[HarvestSettings]) -> None:
    """Harvest one model after another, so that one is in memory at a time."""
    corpus = load_corpus_info(context.inputs["corpus"])
    tokens = {shard: open_tokens(context.inputs["corpus"], shard) for shard in FILES}
    settings = context.settings
    text = PackedTokens(tokens["train"], corpus.separator, settings.batch)
    folders = {name: folder for name, folder in context.inputs.items() if name != "corpus"}
    check_readers(folders, corpus)
    total, done = len(folders) * sum(map(len, tokens.values())), 0

    def on_sequences(n: int) -> None:
        nonlocal done
        done += n
        context.progress(done, total)

    for name, folder in folders.items():
        out = context.out / name
        out.mkdir()
        model = load_model(folder)
        model.to("cuda" if torch.cuda.is_available() else "cpu")  # type: ignore[arg-type]  # hidden by a decorator
        stored = {
            shard: harvest_shard(
                model,
                sequences,
                corpus.separator,
                out,
                shard,
                dtype=settings.dtype,
                batch=settings.batch,
                on_sequences=on_sequences,
            )
            for shard, sequences in tokens.items()
        }
        train = JointActivations((name,), (open_shard(out, "train"),), (1.0,))
        (scale,) = estimate_scales(StoredActivations(train, text, settings.dtype), settings.scale_units)
        info = ActivationsInfo(
            scale=scale,
            layer=middle_layer(model),
            width=model.config.hidden_size,
            dtype=settings.dtype,
            train_tokens=stored["train"],
            evaluation_tokens=stored["evaluation"],
            unit=settings.batch,
            scale_units=settings.scale_units,
            corpus=corpus.digest,
        )
        info.save(out)
        context.metrics({f"scale_{name}": scale}, None)

"""Stage `harvest`: the residual stream of the middle layer, of several models, on the same tokens in one order.

Inputs: corpus, and any number of models by name. Result: `<model>/train.npy`, `<model>/evaluation.npy` (see
`crosscoder.data`) and `<model>/activations.json` for each, and all of these together in `harvest.json`. Row r is the
r-th token of the shard in reading order that is not a separator.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from rlgen_k8s.crosscoder.data import ActivationsInfo
from rlgen_k8s.crosscoder.stream import check_same_text
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_model, load_tokenizer
from rlgen_k8s.lm.middle import middle_layer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.packed import FILES, CorpusInfo, load_corpus_info, open_tokens, vocabulary_digest
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.harvest.shard import harvest_shard


def run(context: Context[HarvestSettings]) -> None:
    """Harvest one model after another, so that one is in memory at a time."""
    corpus = load_corpus_info(context.inputs["corpus"])
    tokens = {shard: open_tokens(context.inputs["corpus"], shard) for shard in FILES}
    folders = {name: folder for name, folder in context.inputs.items() if name != "corpus"}
    tokenizers = {name: load_tokenizer(folder) for name, folder in folders.items()}
    for name, folder in folders.items():
        _check_vocabulary(name, folder, tokenizers[name], corpus)
    check_same_text(tokenizers)
    total, done = len(folders) * sum(map(len, tokens.values())), 0

    def on_sequences(n: int) -> None:
        nonlocal done
        done += n
        context.progress(done, total)

    infos: dict[str, ActivationsInfo] = {}
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
                dtype=context.settings.dtype,
                batch=context.settings.batch,
                on_sequences=on_sequences,
            )
            for shard, sequences in tokens.items()
        }
        infos[name] = ActivationsInfo(
            scale=math.sqrt(model.config.hidden_size) / stored["train"].mean_norm,
            layer=middle_layer(model),
            width=model.config.hidden_size,
            dtype=context.settings.dtype,
            train_tokens=stored["train"].tokens,
            evaluation_tokens=stored["evaluation"].tokens,
            corpus=corpus.digest,
        )
        infos[name].save(out)
        context.metrics({f"scale_{name}": infos[name].scale}, None)
    listing = {name: asdict(info) for name, info in infos.items()}
    (context.out / "harvest.json").write_text(json.dumps(listing, indent=1) + "\n")


def _check_vocabulary(name: str, folder: Path, tokenizer: PreTrainedTokenizerBase, corpus: CorpusInfo) -> None:
    if vocabulary_digest(tokenizer) != corpus.vocabulary:
        raise UserError(
            f"model {name} ({folder}): its tokenizer's vocabulary is not that of the corpus, so the same ids mean "
            "other text; use models of one base model, or make the corpus with this tokenizer"
        )

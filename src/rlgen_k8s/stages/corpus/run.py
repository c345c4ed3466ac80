"""Stage `corpus`: the tokens on which every crosscoder is trained, packed and shuffled once.

Inputs: mirror, base. Result: `tokens.npy` and `evaluation.npy` (int32 [n_sequences, length]) and `corpus.json`.
"""

from collections import defaultdict

from rlgen_k8s.crosscoder.data import Shard
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.documents import CONVERSATIONS, TEXT, documents
from rlgen_k8s.stages.corpus.packed import FILES, CorpusInfo, tokens_digest, vocabulary_digest
from rlgen_k8s.stages.corpus.packing import RULE, join_shuffled, pack, separator_of
from rlgen_k8s.stages.corpus.settings import CorpusSettings


def run(context: Context[CorpusSettings]) -> None:
    """Pack each source's evaluation sequences, then its training sequences, and shuffle the sources together."""
    settings = context.settings
    tokenizer = load_tokenizer(context.inputs["base"])
    separator = separator_of(tokenizer)
    budgets = {CONVERSATIONS: settings.conversation_tokens, TEXT: settings.text_tokens}
    used = {name: tokens for name, tokens in budgets.items() if tokens}

    wanted = {name: _wanted(tokens, len(used), settings) for name, tokens in used.items()}
    total, done = sum(sum(shards.values()) for shards in wanted.values()), 0

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        context.progress(done, total)

    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for number, name in enumerate(used):
        stream = documents(context.inputs["mirror"], name, tokenizer, seed=settings.seed, scratch=context.scratch)
        for shard, n_sequences in wanted[name].items():
            counts[shard][name] = pack(
                stream,
                context.scratch / f"{number}-{shard}.bin",
                n_sequences=n_sequences,
                length=settings.length,
                separator=separator,
                on_rows=on_rows,
            )
        if not counts["train"][name]:
            raise UserError(
                f"data set {name}: too small for a training sequence beside evaluation_tokens; lower that or length"
            )
    for shard, file in FILES.items():
        parts = [context.scratch / f"{number}-{shard}.bin" for number in range(len(used))]
        join_shuffled(parts, context.out / file, length=settings.length, seed=settings.seed)
    CorpusInfo(
        length=settings.length,
        separator=separator,
        rule=RULE,
        vocabulary=vocabulary_digest(tokenizer),
        seed=settings.seed,
        sequences=dict(counts),
        digest=tokens_digest(context.out),
    ).save(context.out)
    context.metrics({f"{shard}_sequences": sum(by.values()) for shard, by in counts.items()}, None)


def _wanted(tokens: int, n_sources: int, settings: CorpusSettings) -> dict[Shard, int]:
    """Sequences of one source, by shard; evaluation comes first, so that no document is in both."""
    return {
        "evaluation": settings.evaluation_tokens // n_sources // settings.length,
        "train": tokens // settings.length,
    }

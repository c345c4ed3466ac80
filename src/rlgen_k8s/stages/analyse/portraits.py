"""All that is known of each feature of interest: what its page in the report is made of."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlgen_k8s.crosscoder import Crosscoder, histogram_edges, logit_lens, normalized_relative_norms
from rlgen_k8s.stages.analyse.results import LensWords, Portrait
from rlgen_k8s.stages.analyse.snippets import places_of, read_windows, snippets
from rlgen_k8s.stages.analyse.specificity import over_starts
from rlgen_k8s.stats import Interval

EXAMPLES, WORDS = 8, 10
"""Examples of a feature, and tokens at either end of its logit lens."""


def portraits(
    reasons: Mapping[int, list[str]],
    joint: Crosscoder,
    stored: Mapping[str, torch.Tensor],
    models: Mapping[str, PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    tokens: NDArray[np.int32],
    kept: NDArray[np.bool_],
    mas: Mapping[str, NDArray[np.float64]],
    starts: Mapping[str, NDArray[np.float64]],
    scores: Mapping[int, Mapping[str, Interval]],
    batch: int,
) -> list[Portrait]:
    """One for each of `reasons`; `stored`: the joint crosscoder's `Firing`, by field.

    `tokens`, `kept` [n, length]: the evaluation tokens, and which of them were read. `starts`: by model [starts, D],
    MAS in every start of the joint crosscoder (`Repeats.matched`). `scores`: of each feature on the held-out critical
    samples, by task.
    """
    features, joint = list(reasons), joint.to(models["base"].device)
    places = places_of(features, stored["rows"].numpy(), kept, EXAMPLES)
    streams = {name: read_windows(model, tokens, places, batch) for name, model in models.items()}
    examples = snippets(joint, streams, tokens, kept, places, tokenizer)
    words = {name: _words(joint, features, name, model, tokenizer) for name, model in models.items()}
    rows = dict(zip(joint.models, joint.decoder_by_model, strict=True))
    nrn = {m: normalized_relative_norms(torch.stack([rows["base"], rows[m]])).cpu().numpy() for m in ("sft", "rl")}
    return [
        Portrait(
            feature=feature,
            reasons=reasons[feature],
            mas={name: float(values[feature]) for name, values in mas.items()},
            nrn={name: float(values[feature]) for name, values in nrn.items()},
            starts=len(starts["base"]),
            over_seeds={name: over_starts(values[:, feature]) for name, values in starts.items()},
            fires=float(stored["histogram"][feature].sum() / kept.sum()),
            n_tokens=int(kept.sum()),
            largest=float(stored["values"][feature].max()),
            histogram=stored["histogram"][feature].tolist(),
            edges=histogram_edges().tolist(),
            lens={name: found[i] for name, found in words.items()},
            examples=examples.get(feature, []),
            scores=dict(scores[feature]),
        )
        for i, feature in enumerate(features)
    ]


def _words(
    joint: Crosscoder, features: list[int], name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> list[LensWords]:
    chosen = torch.tensor(features, device=joint.decoder.device, dtype=torch.long)
    found = logit_lens(joint, chosen, name, model, WORDS)

    def pairs(ids: torch.Tensor, logits: torch.Tensor) -> list[tuple[str, float]]:
        return [(str(tokenizer.decode([int(i)])), round(float(x), 3)) for i, x in zip(ids, logits, strict=True)]

    return [
        LensWords(promoted=pairs(up, up_logits), suppressed=pairs(down, down_logits))
        for up, up_logits, down, down_logits in zip(*found, strict=True)
    ]

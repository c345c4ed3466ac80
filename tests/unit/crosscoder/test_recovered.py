"""What a crosscoder's `metrics.json` says of its models equals a loop over single tokens and features."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import Crosscoder, JointActivations
from rlgen_k8s.lm.load import load_model, load_tokenizer
from rlgen_k8s.lm.middle import edit_residual, residual_stream
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens
from rlgen_k8s.stages.crosscoder.described import describe
from rlgen_k8s.stages.crosscoder.recovered import loss_recovered
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings

NAMES, SCALES, WIDTH, FEATURES = ("base", "sft", "rl"), (2.0, 0.5, 3.0), 32, 48
SEQUENCES = 3
"""Of the corpus's evaluation shard; the ablated stream is a mean over all of it."""


@pytest.fixture(scope="module")
def folders(model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models with larger weights: an untrained one hardly cares what is in its stream."""
    root, made = tmp_path_factory.mktemp("louder"), {}
    for name, folder in model_folders.items():
        model = load_model(folder)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4)
        made[name] = root / name
        model.save_pretrained(made[name])
        load_tokenizer(folder).save_pretrained(made[name])
    return made


@pytest.fixture(scope="module")
def coder() -> Crosscoder:
    """Of random weights; of the first nine features three each are one model's own."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    decoder = normal(FEATURES, 3, WIDTH)
    for feature in range(9):
        decoder[feature, [m for m in range(3) if m != feature // 3]] *= 0.01
    return Crosscoder(
        models=NAMES,
        scales=SCALES,
        encoder=0.3 * normal(3 * WIDTH, FEATURES),
        encoder_bias=normal(FEATURES) - 2,
        decoder=0.3 * decoder.flatten(1),
        decoder_bias=normal(3 * WIDTH),
    )


@pytest.fixture(scope="module")
def streams(folders: dict[str, Path], corpus: Path) -> dict[str, Tensor]:
    """By model [sequences, length, d], raw, of the whole evaluation shard."""
    tokens = torch.from_numpy(open_tokens(corpus, "evaluation").astype("int64"))
    with torch.no_grad():
        return {name: residual_stream(load_model(folder), tokens) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def kept(corpus: Path) -> Tensor:
    """[sequences, length]: tokens that are no separators."""
    return torch.from_numpy(open_tokens(corpus, "evaluation") != load_corpus_info(corpus).separator)


@pytest.fixture(scope="module")
def held_out(streams: dict[str, Tensor], kept: Tensor) -> JointActivations:
    return JointActivations(NAMES, tuple(streams[name][kept] for name in NAMES), SCALES)


def features_of(coder: Crosscoder, streams: dict[str, Tensor], n: int, t: int) -> Tensor:
    """[D] by the formula of the encoder, with activations at the crosscoder's scale."""
    total = coder.encoder_bias.clone()
    for m, name in enumerate(NAMES):
        total += (streams[name][n, t] * SCALES[m]) @ coder.encoder[m * WIDTH : (m + 1) * WIDTH]
    return total.clamp_min(0)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_loss_recovered_equals_a_loop_that_puts_one_models_part_back_in_raw_units(
    name: str,
    coder: Crosscoder,
    streams: dict[str, Tensor],
    kept: Tensor,
    held_out: JointActivations,
    folders: dict[str, Path],
    corpus: Path,
) -> None:
    found = loss_recovered(
        coder, held_out, name=name, model_folder=folders[name], corpus=corpus, sequences=SEQUENCES, batch=2
    )
    m, model = NAMES.index(name), load_model(folders[name])
    columns = slice(m * WIDTH, (m + 1) * WIDTH)
    mean = torch.stack([x for stream, rows in zip(streams[name], kept, strict=True) for x in stream[rows]]).mean(dim=0)
    tokens = torch.from_numpy(open_tokens(corpus, "evaluation")[:SEQUENCES].astype("int64"))
    losses, divergences, scored = [0.0] * 3, [0.0] * 3, 0
    for n in range(SEQUENCES):
        spliced, ablated = streams[name][n : n + 1].clone(), streams[name][n : n + 1].clone()
        for t in range(tokens.shape[1]):
            if kept[n, t]:
                features = features_of(coder, streams, n, t)
                rebuilt = features @ coder.decoder[:, columns] + coder.decoder_bias[columns]
                spliced[0, t], ablated[0, t] = rebuilt / SCALES[m], mean
        logits = [model(tokens[n : n + 1]).logits[0].double().log_softmax(dim=1)]
        for stream in (spliced, ablated):
            with edit_residual(model, lambda _, edited=stream: edited):
                logits.append(model(tokens[n : n + 1]).logits[0].double().log_softmax(dim=1))
        for t in range(tokens.shape[1] - 1):
            if kept[n, t]:
                scored += 1
                for which in range(3):
                    losses[which] -= float(logits[which][t, tokens[n, t + 1]])
                    pairs = zip(logits[0][t].tolist(), logits[which][t].tolist(), strict=True)
                    divergences[which] += sum(math.exp(p) * (p - q) for p, q in pairs)
    wanted = [total / scored for total in (*losses, *divergences[1:])]
    assert found == pytest.approx(wanted, rel=1e-4)
    assert min(abs(wanted[a] - wanted[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 0.01


def test_use_of_own_features_equals_a_count_of_firings(
    coder: Crosscoder,
    streams: dict[str, Tensor],
    kept: Tensor,
    held_out: JointActivations,
    corpus: Path,
    tmp_path: Path,
) -> None:
    _, found = describe(coder, held_out, corpus, tmp_path, CrosscoderSettings(models=NAMES))
    firings, of_own, fired = 0, dict.fromkeys(NAMES, 0), set()
    norms = coder.decoder.view(FEATURES, 3, WIDTH).abs().sum(dim=2)
    owner = {i: NAMES[int(row.argmax())] for i, row in enumerate(norms) if row.max() / row.sum() > 0.9}
    assert sorted(owner) == list(range(9))
    for n, t in kept.nonzero().tolist():
        for feature in features_of(coder, streams, n, t).nonzero().flatten().tolist():
            firings += 1
            fired.add(feature)
            if feature in owner:
                of_own[owner[feature]] += 1
    assert len(set(of_own.values())) == 3
    for name in NAMES:
        use = found[name].use
        assert use.mean == pytest.approx(of_own[name] / firings)
        assert use.low is not None and use.high is not None and use.low < use.mean < use.high
        assert use.n == len(kept)
        assert found[name].features == sum(owner[i] == name for i in fired & owner.keys())

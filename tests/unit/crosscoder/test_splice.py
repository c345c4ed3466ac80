import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder import splice_losses
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.lm.middle import edit_residual, residual_stream

N, LENGTH = 7, 9


@pytest.fixture
def model(model_folders: dict[str, Path]) -> PreTrainedModel:
    model = load_model(model_folders["base"])
    with torch.no_grad():  # an untrained model hardly cares what is in its stream
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


@pytest.fixture
def tokens() -> Tensor:
    tokens = torch.randint(1, 300, (N, LENGTH), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = 0
    tokens[2, 4] = 0
    return tokens


@torch.no_grad()
def test_losses_equal_a_loop_over_single_tokens(model: PreTrainedModel, tokens: Tensor) -> None:
    replaced = tokens != 0
    rows = int(replaced.sum())
    rebuilt = torch.randn(rows, 32, generator=torch.Generator().manual_seed(1))
    mean = torch.randn(32, generator=torch.Generator().manual_seed(2))
    losses = splice_losses(model, tokens, replaced, lambda start, stop: rebuilt[start:stop], mean, batch=3)

    sums, scored, row = [0.0] * 5, 0, 0
    for n in range(N):
        stream = {"spliced": residual_stream(model, tokens[n : n + 1])}
        stream["ablated"] = stream["spliced"].clone()
        for t in range(LENGTH):
            if replaced[n, t]:
                stream["spliced"][0, t] = rebuilt[row]
                stream["ablated"][0, t] = mean
                row += 1
        logits = [model(tokens[n : n + 1]).logits]
        for name in ("spliced", "ablated"):
            with edit_residual(model, lambda _, edited=stream[name]: edited):
                logits.append(model(tokens[n : n + 1]).logits)
        for t in range(LENGTH - 1):
            if replaced[n, t]:
                scored += 1
                predictions = [logits[which][0, t].double().softmax(dim=0) for which in range(3)]
                for which, p in enumerate(predictions):
                    sums[which] -= math.log(p[tokens[n, t + 1]])
                for which in (1, 2):
                    pairs = zip(predictions[0].tolist(), predictions[which].tolist(), strict=True)
                    sums[2 + which] += sum(p * math.log(p / q) for p, q in pairs)
    assert losses == pytest.approx([total / scored for total in sums], rel=1e-4)


def test_a_perfect_reconstruction_recovers_all_and_the_mean_nothing(model: PreTrainedModel, tokens: Tensor) -> None:
    replaced = tokens != 0
    stream = residual_stream(model, tokens).detach()[replaced]
    mean = stream.mean(dim=0)
    perfect = splice_losses(model, tokens, replaced, lambda start, stop: stream[start:stop], mean, batch=2)
    assert perfect.spliced == pytest.approx(perfect.original, rel=1e-5)
    assert perfect.recovered == pytest.approx(1.0, abs=1e-4)
    assert perfect.kl_recovered == pytest.approx(1.0, abs=1e-4)
    useless = splice_losses(model, tokens, replaced, lambda start, stop: mean.expand(stop - start, -1), mean, batch=2)
    assert useless.recovered == pytest.approx(0.0, abs=1e-6)
    assert useless.kl_recovered == pytest.approx(0.0, abs=1e-6)
    assert useless.kl_ablated > 0.01
    assert useless.ablated != pytest.approx(useless.original, rel=1e-3)

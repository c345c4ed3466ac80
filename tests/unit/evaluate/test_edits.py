from dataclasses import replace

import pytest
import torch

from rlgen_k8s.crosscoder.model import Crosscoder, new_crosscoder
from rlgen_k8s.stages.intervene.edits import Target, direction_edit, feature_edit, unchanged


def a_crosscoder() -> Crosscoder:
    found = new_crosscoder(("base", "sft", "rl"), (0.5, 2.0, 3.0), width=6, n_features=9, decoder_norm=0.8, seed=0)
    torch.manual_seed(0)
    found.encoder += 0.1 * torch.randn_like(found.encoder)
    found.decoder += 0.1 * torch.randn_like(found.decoder)
    found.encoder_bias += 0.1
    return found


@pytest.mark.parametrize("threshold", [None, 1.0])
def test_the_edit_is_the_formula_one_token_and_feature_at_a_time(threshold: float | None):
    """With thresholds only what is above its own is a feature: the rest is at zero and is raised from there."""
    crosscoder, stream = a_crosscoder(), torch.randn(2, 5, 6)
    if threshold is not None:
        crosscoder = replace(crosscoder, thresholds=threshold + torch.linspace(0, 0.5, 9))
    least = [0.0] * 9 if crosscoder.thresholds is None else crosscoder.thresholds.tolist()
    features = [1, 4, 7]
    for model, scale, target in (
        ("rl", 3.0, Target(0.0)),
        ("base", 0.5, Target(3.0)),
        ("base", 0.5, Target(3.0, dose=0.25)),
    ):
        m = crosscoder.models.index(model)
        W_enc, W_dec = crosscoder.encoder_by_model[m], crosscoder.decoder_by_model[m]
        expected = stream.clone()
        for b in range(2):
            for t in range(5):
                for i in features:
                    p = float(scale * stream[b, t] @ W_enc[:, i] + crosscoder.encoder_bias[i])
                    f = p if p > least[i] else 0.0
                    f_new = f + target.dose * (target.goal - f)
                    expected[b, t] += (f_new - f) * W_dec[i] / scale
        edited = feature_edit(crosscoder, model, features, target)(stream)
        torch.testing.assert_close(edited, expected)
        assert not torch.equal(edited, stream)


def test_zeroing_a_planted_feature_removes_its_direction_and_nothing_else():
    direction = torch.nn.functional.normalize(torch.randn(6), dim=0)
    crosscoder = new_crosscoder(("base", "sft", "rl"), (1.0, 1.0, 2.0), width=6, n_features=3, decoder_norm=1, seed=0)
    crosscoder.encoder[crosscoder.columns("rl"), 1] = direction
    crosscoder.decoder[1, crosscoder.columns("rl")] = direction
    stream = torch.randn(4, 6)
    projection = stream @ direction
    edited = feature_edit(crosscoder, "rl", [1], Target(0.0))(stream)
    torch.testing.assert_close(edited, stream - projection.clamp(min=0)[:, None] * direction)
    assert (projection > 0).any()
    assert (projection < 0).any()


def test_a_random_direction_moves_each_token_as_far_as_the_intervention():
    edit, stream = feature_edit(a_crosscoder(), "base", [0, 2], Target(3.0)), torch.randn(3, 4, 6)
    moved = direction_edit(edit, seed=1)(stream) - stream
    torch.testing.assert_close(moved.norm(dim=-1), edit.change(stream).norm(dim=-1))
    directions = moved / moved.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(directions, directions[0, 0].expand_as(directions))
    other = direction_edit(edit, seed=2)(stream) - stream
    assert not torch.allclose(moved, other)


def test_before_is_the_stream_itself():
    stream = torch.randn(2, 3)
    assert unchanged(stream) is stream

"""The stage finds what is planted, and says so where there is nothing."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.analyse.critical import pair_task


def test_planted_generalization_features_are_found_with_their_scores(found: Any, planted: ModuleType) -> None:
    assert found.analysis.generalization.intersection == [1, 2]
    for task in planted.TASKS:
        selection = found.analysis.generalization.tasks[task].selection["critical"]
        # coordinate 3 moves by 0.3: a tenth of the largest, below the threshold of 20 %
        assert [item.feature for item in selection.features] == [1, 2]
        assert [item.score.mean for item in selection.features] == pytest.approx([3.0, 2.0], abs=1e-5)
        assert [item.held_out for item in selection.features] == pytest.approx([3.0, 2.0], abs=1e-5)
        assert selection.n == 10
        assert selection.significant == selection.family_significant == 2
        assert found.features.per_task[task] == [1, 2]
    assert found.features.generalization == [1, 2]
    assert found.features.fallback == []
    assert found.features.layer == 1


def test_a_feature_below_its_threshold_is_at_zero_and_not_selected(above_threshold: Any, planted: ModuleType) -> None:
    assert above_threshold.features.generalization == [1]
    for task in planted.TASKS:
        selection = above_threshold.analysis.generalization.tasks[task].selection["critical"]
        assert [item.score.mean for item in selection.features] == pytest.approx([3.0], abs=1e-5)


def test_the_papers_protocol_selects_on_all_critical_samples(found: Any, planted: ModuleType) -> None:
    by_paper = found.features.paper_protocol
    assert by_paper.intersection == [1, 2]
    assert by_paper.fallback == []
    assert by_paper.per_task == {task: [1, 2] for task in planted.TASKS}


def test_the_opposite_samples_select_other_features(found: Any) -> None:
    assert found.analysis.generalization.intersection_by_kind == {"critical": [1, 2], "reverse": [5], "unchanged": []}


def test_cells_and_split_are_those_of_the_samples(found: Any, planted: ModuleType) -> None:
    base, rl = (pd.read_parquet(found.inputs[f"evaluation-{name}"] / "samples.parquet") for name in ("base", "rl"))
    for task in planted.TASKS:
        merged = base[base.task == task].merge(rl[rl.task == task], on="doc_id")
        wanted = set(merged[(merged.outcome_x == 0) & (merged.outcome_y == 1)].doc_id)
        part = found.features.critical[task]
        assert set(part.selection) | set(part.held_out) == wanted
        assert not set(part.selection) & set(part.held_out)
        cells = found.features.cells[task]
        assert cells.both_right + cells.only_base + cells.only_rl + cells.both_wrong == 60
        assert (cells.only_rl, cells.only_base) == (20, 5)
    assert [len(docs) for docs in found.features.unseen_critical.values()] == [20, 20]


def test_overlap_across_checkpoints_follows_directions_not_indices(found: Any, planted: ModuleType) -> None:
    sft, rl = (found.analysis.families[name] for name in ("sft", "rl"))
    assert sft.overlap == [[planted.TOP] * 5] * 5
    assert rl.overlap == (planted.TOP * np.eye(5, dtype=int)).tolist()
    assert sft.overlap_by_index[0][1] < planted.TOP
    assert [t.blanks for t in sft.transitions] == [0] * 4
    assert [t.blanks for t in rl.transitions] == [planted.TOP] * 4
    assert sft.chance.by_chance == pytest.approx(planted.TOP**2 / planted.D_FEATURES)
    assert min(match.tenth_percentile for match in sft.matching) > 0.999


def test_nrn_shares_and_histograms_count_every_feature(found: Any, planted: ModuleType) -> None:
    for family in found.analysis.families.values():
        for distribution in family.nrn:
            assert sum(distribution.counts) == planted.D_FEATURES
            share = distribution.beyond[">0.7"]
            assert share.mean == pytest.approx(planted.TOP / planted.D_FEATURES)
            assert share.low < share.mean < share.high
    assert set(found.analysis.mas) == {"base", "sft", "rl"}
    assert sum(d.mean for d in found.analysis.mas.values()) == pytest.approx(1)


def test_the_noise_floor_and_further_starts_stand_beside_them_where_there_are_any(
    found: Any, empty: Any, planted: ModuleType
) -> None:
    noise = found.analysis.noise
    assert sum(noise.counts) == planted.D_FEATURES
    assert noise.beyond[">0.7"].mean == pytest.approx(len(planted.SFT_TOP) / planted.D_FEATURES)
    assert noise.beyond["<0.3"].mean == 0
    of_three = found.analysis.joint_noise
    assert sum(of_three.counts) == planted.D_FEATURES
    assert of_three.beyond[">0.7"].mean == pytest.approx(len(planted.SFT_TOP) / planted.D_FEATURES)
    assert of_three.beyond[">0.9"].mean == 0
    assert empty.analysis.joint_noise is None
    other, same, sparser, smaller = found.analysis.repeats
    assert [(each.kind, each.value) for each in found.analysis.repeats] == [
        ("seed", 9), ("seed", 10), ("lambda", 0.25), ("size", 48),
    ]  # fmt: skip
    assert other.same.mean == pytest.approx(1 - planted.CHANGED / planted.D_FEATURES)
    assert (same.same.mean, same.median) == pytest.approx((1, 1))
    assert sparser.same.mean == pytest.approx(1)
    assert smaller.same.mean == pytest.approx((48 - planted.RL_OWN) / planted.D_FEATURES)
    assert (smaller.own["rl"].n, smaller.own["rl"].mean) == (48, pytest.approx(planted.RL_OWN / 48))
    assert (empty.analysis.noise, empty.analysis.repeats, empty.analysis.course) == (None, [], None)


def test_two_starts_of_one_checkpoint_are_the_yardstick_of_two_checkpoints(
    found: Any, empty: Any, planted: ModuleType
) -> None:
    for name, family in found.analysis.families.items():
        lost = {seed: n for (of, seed), n in planted.STARTS.items() if of == name}
        assert {again.seed: again.overlap for again in family.restarts} == {
            seed: planted.TOP - n for seed, n in lost.items()
        }
        assert family.shared_by_starts == planted.TOP - sum(lost.values()) / 2
        assert all(again.matching.checkpoints == (5, 5) for again in family.restarts)
        # matched in whatever order: every feature is found again, nine or six times as long in one model or not
        assert min(again.matching.tenth_percentile for again in family.restarts) > 0.75
    assert empty.analysis.families["sft"].shared_by_starts is None


def test_shares_over_seeds_are_students_of_the_starts_own_shares(found: Any, empty: Any, planted: ModuleType) -> None:
    def shares(starts: list[Any], model: int, limit: float) -> np.ndarray:
        norms = [one.decoder_by_model.abs().sum(dim=2, dtype=torch.float64) for one in starts]
        return np.array([float((norm[model] / norm.sum(dim=0) > limit).double().mean()) for norm in norms])

    def is_students(interval: Any, values: np.ndarray) -> bool:
        reach = 4.302653 * values.std(ddof=1) / np.sqrt(3)  # t of 2 degrees of freedom
        wanted = (3, values.mean(), max(0, values.mean() - reach), values.mean() + reach)
        return (interval.n, interval.mean, interval.low, interval.high) == pytest.approx(wanted, abs=1e-7)

    for name, family in found.analysis.families.items():
        assert [each.over_seeds for each in family.nrn[:-1]] == [{}] * 4
        lost = [0, *(n for (of, _), n in planted.STARTS.items() if of == name)]
        starts = [planted.family_crosscoder(name, 5, n) for n in lost]
        for limit in (0.7, 0.9):
            assert is_students(family.nrn[-1].over_seeds[f">{limit}"], shares(starts, 1, limit))
        assert shares(starts, 1, 0.9).std() > 0
    starts = [planted.joint_crosscoder(), planted.restarted(planted.CHANGED), planted.restarted(0)]
    for model, name in enumerate(("base", "sft", "rl")):
        assert is_students(found.analysis.mas[name].over_seeds[">0.5"], shares(starts, model, 0.5))
    assert shares(starts, 1, 0.5).std() > 0
    assert [each.over_seeds for each in empty.analysis.mas.values()] == [{}] * 3


def test_one_crosscoder_of_all_checkpoints_needs_no_matching(found: Any, planted: ModuleType) -> None:
    """Planted in it: SFT's top features stay, RL's are others at each checkpoint; at equal drift are SFT 1 and RL 3."""
    course = found.analysis.course
    assert course.overlap["sft"] == [[planted.TOP] * 5] * 5
    assert course.overlap["rl"] == [[planted.TOP * (a == b) for b in range(5)] for a in range(5)]
    assert found.analysis.drift.nearest == {"sft": 1, "rl": 3}
    assert set(course.mas) == {"base", "sft", "rl"}
    assert sum(each.mean for each in course.mas.values()) == pytest.approx(1)
    for name in ("sft", "rl"):  # nine times base's row and the other's: 9 / 11
        assert course.mas[name].beyond[">0.7"].mean == pytest.approx(planted.TOP / planted.D_FEATURES)
    assert course.mas["base"].beyond[">0.5"].mean == 0


def test_controls_are_other_features_and_named_features_have_a_scale(found: Any) -> None:
    assert len(found.features.controls.random_features) == 3
    for drawn in found.features.controls.random_features:
        assert len(set(drawn)) == 2
        assert not set(drawn) & {1, 2}
    named = {1, 2, *(i for drawn in found.features.controls.random_features for i in drawn)}
    assert set(found.features.max_activation) == {str(i) for i in named}
    assert found.features.max_activation["1"] == pytest.approx(3.0, abs=1e-5)


def test_no_critical_samples_is_a_finding(empty: Any, planted: ModuleType) -> None:
    generalization = empty.analysis.generalization
    assert generalization.tasks_without_samples == list(planted.TASKS)
    assert generalization.intersection == []
    assert empty.features.generalization == empty.features.fallback == []
    assert empty.features.controls.random_features == [[], [], []]
    assert all(item.selection["critical"].features == [] for item in generalization.tasks.values())


def test_other_samples_are_refused_by_name(found: Any, tmp_path: Path) -> None:
    base = pd.read_parquet(found.inputs["evaluation-base"] / "samples.parquet")
    with pytest.raises(UserError, match="task sciq: base and RL were evaluated on other samples"):
        pair_task(base, base[base.doc_id != 3], "sciq")
    with pytest.raises(UserError, match="task boolq: not in the evaluation"):
        pair_task(base, base, "boolq")

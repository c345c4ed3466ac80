"""Numbers as a reader sees them, verdicts, the paper's figures, the DAG."""

from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from rlgen_k8s.stages.report.cells import Number, Plain, number, p_value, percent
from rlgen_k8s.stages.report.dag import dag_svg
from rlgen_k8s.stages.report.effects import reanswering
from rlgen_k8s.stages.report.findings import LIKE, PARTLY, UNCLEAR, UNLIKE, settling
from rlgen_k8s.stages.report.paper import GENERAL, MATHS, PAPER, UNSEEN
from rlgen_k8s.stages.report.settings import ReportSettings
from rlgen_k8s.stats import Interval, bootstrap_mean


def test_numbers_are_written_for_people() -> None:
    assert number(-0.04, 1, signed=True) == "0.0"
    assert number(-12.34, 1) == "−12.3"
    assert number(3.0, 1, signed=True) == "+3.0"
    assert p_value(0.0123) == "0.012"
    assert p_value(3e-7) == "3e−7"
    cell = percent(Interval(mean=-0.5, low=-0.6, high=-0.4, n=12), signed=True)
    assert cell == Number("−50.0", "[−60.0, −40.0]", 12)
    assert percent(bootstrap_mean([])) == Plain("– (n = 0)", "none")


def test_reanswering_at_random_has_the_gain_that_the_choice_of_samples_gives() -> None:
    assert reanswering("raise", 0.25) == 0.25
    assert reanswering("zero", 0.25) == -0.75


def test_paper_has_every_figure_of_its_tables() -> None:
    for model in PAPER.values():
        assert all(len(row) == len(MATHS + GENERAL) for row in model.accuracy.values())
        assert len(model.zeroed) == len(model.raised) == len(GENERAL + UNSEEN)
    assert PAPER["Qwen2.5-7B"].change_of("raise", "piqa") == 32.9
    assert PAPER["Qwen3-4B"].accuracy_of("sft", "sciq") == 51.8
    assert PAPER["Qwen3-4B"].accuracy_of("sft", "piqa") is None


def test_settings_of_the_study_must_be_an_object() -> None:
    with pytest.raises(ValidationError, match="study_settings"):
        ReportSettings(study_settings="[1]")


@pytest.mark.parametrize(
    ("sft_keeps_more", "sft_changes", "rl_changes", "verdict"),
    [
        (0.3, False, True, LIKE),
        (0.3, False, False, PARTLY),  # RL's checkpoints differ no more than two seeds of one
        (0.3, True, True, PARTLY),
        (0.3, True, False, UNCLEAR),
        (0.1, False, True, UNCLEAR),
        (-0.3, True, False, UNLIKE),
        (-0.3, True, True, UNCLEAR),
    ],
)
def test_what_settles_is_measured_by_what_two_seeds_share(
    sft_keeps_more: float, sft_changes: bool, rl_changes: bool, verdict: str
) -> None:
    assert settling(sft_keeps_more, {"sft": sft_changes, "rl": rl_changes}) == verdict


def test_without_another_seed_the_difference_alone_decides() -> None:
    assert [settling(apart, {}) for apart in (0.3, 0.1, -0.3)] == [LIKE, UNCLEAR, UNLIKE]


def test_dag_draws_every_task_and_only_direct_lines() -> None:
    svg = dag_svg([("mirror", []), ("base", ["mirror"]), ("sft", ["base", "mirror"]), ("report & <all>", ["sft"])])
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    assert [text.text for text in root.iter(f"{space}text")] == ["mirror", "base", "sft", "report & <all>"]
    assert len(list(root.iter(f"{space}path"))) == 3
    with pytest.raises(ValueError, match="task b: a must come before it"):
        dag_svg([("b", ["a"]), ("a", [])])

"""Settings are found, overridden, explained and refused with the field's name."""

import pytest
from pydantic import ValidationError

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.study.explain import settings_table
from rlgen_k8s.study.load import load_study, study_names
from rlgen_k8s.study.settings import Study


def test_the_shipped_studies_load():
    assert "tiny" in study_names()
    for name in study_names():
        assert load_study(name).name == name


def test_every_setting_says_what_it_means_and_where_it_comes_from():
    for row in settings_table(load_study("tiny")):
        assert row.meaning, row.path
        assert row.source, row.path


def test_an_override_changes_one_setting_and_nothing_else():
    before = {row.path: row.value for row in settings_table(load_study("tiny"))}
    after = {
        row.path: row.value
        for row in settings_table(load_study("tiny", ["sft.learning_rate=1e-3", "pods.grpo.cpu=0.5"]))
    }
    assert {path for path in after if after[path] != before[path]} == {"sft.learning_rate", "pods.grpo.cpu"}
    assert after["sft.learning_rate"] == 1e-3


@pytest.mark.parametrize(
    ("name", "assignment", "words"),
    [
        ("tinny", None, "study tinny.*did you mean tiny"),
        ("tiny", "sft.learning_rat=1", r"sft\.learning_rat.*did you mean learning_rate"),
        ("tiny", "sft.learning_rate=fast", r"sft\.learning_rate='fast'.*number"),
        ("tiny", "sft.learning_rate=-1", r"sft\.learning_rate=-1.*greater than 0"),
        ("tiny", "seed", "expected field=value"),
        ("tiny", "seed.x=1", "seed is a value"),
        ("tiny", "pods.sftt.cpu=1", r"pods\.sftt: no such stage"),
        ("tiny", "pods.sft.processes=2", r"pods\.sft\.processes=2: only stream shares its work"),
        ("tiny", "pods.model.resume_steps=5", r"pods\.model\.resume_steps=5: only sft and grpo"),
        ("tiny", "pods.sft.resume_steps=0", r"pods\.sft\.resume_steps"),
        ("tiny", "pods.sft.cores=1", r"pods\.sft\.cores"),
        ("tiny", "name=Bad Name", "name"),
        ("tiny", "replicates=[1, 2, 1]", "replicates: seed 1 is the study's own or named twice"),
        ("tiny", "replicates=[0]", "replicates: seed 0 is the study's own"),
        ("tiny", "replicates=[-1]", "replicates.0=-1"),
        ("tiny", "base.seed=7", "--set base.seed=7: the study fills base.seed; set seed"),
        ("tiny", "grpo.seed=0", "the study fills grpo.seed; set seed"),
        ("tiny", "evaluate.instruction=Hm", "the study fills evaluate.instruction; set instruction"),
        ("tiny", "crosscoder.models=[a, b]", "the study fills crosscoder.models; leave it out"),
    ],
)
def test_bad_settings_are_refused_in_one_line_that_names_them(name, assignment, words):
    with pytest.raises(UserError, match=words) as raised:
        load_study(name, [assignment] if assignment else [])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("stage", sorted(set(Study.model_fields) & (set(STAGES) | {"base", "teacher"})))
def test_no_seed_that_a_study_s_file_gives_a_stage_is_lost_in_silence(stage):
    values = load_study("tiny").model_dump()
    values[stage]["seed"] = 7
    with pytest.raises(ValidationError, match=f"{stage}.seed=7: the study fills it; set seed"):
        Study.model_validate(values)

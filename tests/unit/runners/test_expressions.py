import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.local.expressions import holds, substitute

LAST = {"lastRetry.exitCode": "137", "lastRetry.status": "Failed"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("1 == 1", True),
        ("yes == no", False),
        ("'a b' != 'a c' && !(2 > 3)", True),
        ("false || 0.5 >= 0.5", True),
        ("lastRetry.status == 'Error' || asInt(lastRetry.exitCode) in [75, 137, 143]", True),
        ("asInt(lastRetry.exitCode) == 2", False),
        ("lastRetry.exitCode not in ['1', '2']", True),
    ],
)
def test_conditions_mean_what_argo_means(condition, expected):
    assert holds(condition, LAST) is expected


@pytest.mark.parametrize("condition", ["__import__('os')", "a.b()", "1 +", "asInt(x)", "[i for i in x]"])
def test_other_conditions_are_refused_by_name(condition):
    with pytest.raises(UserError, match="not understood"):
        holds(condition, {})


def test_tags_are_replaced_and_unknown_ones_named():
    assert substitute("--a={{ item.x }}/{{y}}", {"item.x": "1", "y": "2"}) == "--a=1/2"
    with pytest.raises(UserError, match=r"\{\{tasks.a.outputs.result\}\}"):
        substitute("{{tasks.a.outputs.result}}", {})


def test_json_values_pass_through_unchanged():
    text = '{"a":{"b":{}},"c":"\\\\boxed{}"}'
    assert substitute(text, {}) == text

"""Keys never change by themselves: a changed key would make every stored result unreachable."""

import hashlib

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.store.keys import address_of, split_address, stage_key

KEY = "0" * 32
IDENTITY = (
    '{"inputs":{"mirror":"mirror/%s"},"settings":{"n":3,"name":"\\u00fc","rate":0.001},"stage":"problems","version":2}'
)


def test_a_key_is_the_hash_of_this_very_text() -> None:
    key = stage_key("problems", 2, {"rate": 1e-3, "name": "ü", "n": 3}, {"mirror": f"mirror/{KEY}"})
    assert key == hashlib.sha256((IDENTITY % KEY).encode()).hexdigest()[:32]
    assert key == "bde1dccbd6d91ceb1a8d007c4459cdb9"


def test_order_of_settings_and_inputs_does_not_matter() -> None:
    one = stage_key("sft", 1, {"a": 1, "b": {"c": 2, "d": 3}}, {"x": "s/1", "y": "s/2"})
    other = stage_key("sft", 1, {"b": {"d": 3, "c": 2}, "a": 1}, {"y": "s/2", "x": "s/1"})
    assert one == other


def test_everything_that_decides_a_result_changes_its_key() -> None:
    variants = [
        stage_key("sft", 1, {"a": 1}, {"x": "s/1"}),
        stage_key("grpo", 1, {"a": 1}, {"x": "s/1"}),
        stage_key("sft", 2, {"a": 1}, {"x": "s/1"}),
        stage_key("sft", 1, {"a": 2}, {"x": "s/1"}),
        stage_key("sft", 1, {"a": "1"}, {"x": "s/1"}),
        stage_key("sft", 1, {"a": 1, "b": None}, {"x": "s/1"}),
        stage_key("sft", 1, {"a": 1}, {"x": "s/2"}),
        stage_key("sft", 1, {"a": 1}, {"y": "s/1"}),
        stage_key("sft", 1, {"a": 1}, {"x": "s/1/checkpoints/5"}),
    ]
    assert len(set(variants)) == len(variants)


def test_a_setting_that_is_no_number_has_no_key() -> None:
    with pytest.raises(ValueError):
        stage_key("sft", 1, {"rate": float("nan")}, {})


def test_addresses_split_into_result_and_folder() -> None:
    address = address_of("sft", KEY)
    assert split_address(address) == (f"sft/{KEY}", "")
    assert split_address(f"{address}/checkpoints/5") == (f"sft/{KEY}", "checkpoints/5")


@pytest.mark.parametrize(
    "wrong", ["", "sft", "sft/123", f"sft/{KEY}/", f"sft/{KEY}/../x", f"../{KEY}", f"sft/{KEY}//x"]
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="expected stage/key"):
        split_address(wrong)

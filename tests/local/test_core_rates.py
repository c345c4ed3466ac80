"""The rates of a core that the cost model has, measured anew, in CPU seconds: a busy machine changes them little."""

import subprocess
import sys
from pathlib import Path

from rlgen_k8s.study.load import load_study

ROOT = Path(__file__).parents[2]


def test_a_core_reaches_the_rates_that_the_settings_say_within_three_times():
    printed = subprocess.run(
        [sys.executable, "-m", "tests.bench.core_rates"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    print(printed)
    set_here, measured = (load_study("tiny", assignments).cost.core for assignments in ([], printed))
    assert len(printed) == 4
    for name, value in set_here:
        assert 1 / 3 < getattr(measured, name) / value < 3, name

"""Objects as a real API server gave them, without the fields that say nothing here."""

import json
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def recorded():
    """A recorded object, by its name."""
    return lambda name: json.loads((RECORDED / f"{name}.json").read_text())

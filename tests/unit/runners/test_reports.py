"""A report is copied to where a person finds it, with its features' pages beside it."""

from pathlib import Path

import pytest

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.home import Home
from rlgen_k8s.runners.reports import copy_report
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store
from rlgen_k8s.study.settings import Study


def study() -> Study:
    return Study(name="small", base=ModelSettings(), teacher=ModelSettings())


def publish(store: Store, files: dict[str, str], scratch: Path) -> None:
    node = plan(study())[-1]
    attempt = store.open_attempt(node.address, scratch)
    for name, text in files.items():
        (attempt.out / name).parent.mkdir(exist_ok=True)
        (attempt.out / name).write_text(text)
    version = STAGES[node.stage].version
    settings, inputs = node.settings_json, node.input_addresses
    store.publish(attempt, Identity(stage=node.stage, version=version, settings=settings, inputs=inputs))


def test_links_of_a_copied_report_lead_to_its_own_pages(tmp_path: Path) -> None:
    place = Home(tmp_path / "home")
    store = open_store(str(tmp_path / "store"))
    page = '<a href="#found">here</a> <a href="features/7.html">Feature 7</a>'
    publish(store, {"report.html": page, "features/7.html": "seven"}, tmp_path)
    stale = place.reports / "small/features/8.html"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an older run")
    copied = copy_report(study(), store, place)
    assert copied == place.reports / "small.html"
    assert copied.read_text() == page.replace("features/7", "small/features/7")
    assert (copied.parent / "small/features/7.html").read_text() == "seven"
    assert not stale.exists()


def test_a_report_that_is_not_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="report of small: not made yet"):
        copy_report(study(), open_store(str(tmp_path / "store")), Home(tmp_path / "home"))

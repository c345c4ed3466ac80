"""Reports: copied out of a store to where a person finds them."""

import shutil
from pathlib import Path

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.home import Home
from rlgen_k8s.store.results import Store
from rlgen_k8s.study.settings import Study

REPORT, FEATURES = "report.html", "features"


def copy_report(study: Study, store: Store, place: Home) -> Path:
    """The path of the study's report, copied out of the store. Raises `UserError` if there is none yet."""
    node = plan(study)[-1]
    if store.manifest(node.address) is None:
        raise UserError(f"report of {study.name}: not made yet with these settings; run `rlgen run {study.name}`")
    to = place.reports / f"{study.name}.html"
    to.parent.mkdir(parents=True, exist_ok=True)
    fetched = store.fetch(node.address, place.path / "fetched" / node.key)
    # Reports of several studies stand side by side: each one's pages are in a folder of its name.
    pages = place.reports / study.name / FEATURES
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    for page in (fetched / FEATURES).glob("*.html"):
        shutil.copyfile(page, pages / page.name)
    to.write_text((fetched / REPORT).read_text().replace(f'href="{FEATURES}/', f'href="{study.name}/{FEATURES}/'))
    return to

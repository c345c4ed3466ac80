"""Find a study by its name: `WF=tiny` is `workflows/tiny.py`, a module that holds `STUDY`."""

import difflib
import os
import runpy
from pathlib import Path

from pydantic import ValidationError

from rlgen_k8s.errors import UserError
from rlgen_k8s.study.overrides import explain, override
from rlgen_k8s.study.rehearsal import SUFFIX, rehearsal
from rlgen_k8s.study.settings import Study


def workflows_folder() -> Path:
    """`$RLGEN_WORKFLOWS`, or the nearest folder `workflows` from here upwards, or the one beside the sources."""
    if configured := os.environ.get("RLGEN_WORKFLOWS"):
        return Path(configured)
    here = Path.cwd()
    beside_sources = Path(__file__).parents[3]
    for folder in (here, *here.parents, beside_sources):
        if any((folder / "workflows").glob("*.py")):
            return folder / "workflows"
    raise UserError(f"folder workflows: none from {here} upwards; run in the repository or set RLGEN_WORKFLOWS")


def study_names() -> list[str]:
    """The studies that can be named."""
    return sorted(path.stem.replace("_", "-") for path in workflows_folder().glob("*.py"))


def load_study(name: str, assignments: list[str] | None = None) -> Study:
    """The study `name` with `field=value` assignments applied. Raises `UserError` for whatever is wrong with either.

    `NAME-rehearsal` is the rehearsal of the study NAME.
    """
    if rehearses(name):
        return _rehearsal(rehearses(name), assignments or [])
    return override(_load(name), assignments or [])


def _rehearsal(name: str, assignments: list[str]) -> Study:
    """Of `name`, as those assignments make it that are about pods: how many share a stage decides its processes."""
    study = override(_load(name), [one for one in assignments if one.strip().startswith("pods.")])
    try:
        rehearsed = rehearsal(study, _load("tiny"))
    except ValidationError as error:
        raise UserError(f"rehearsal of {name}: {explain(error)}") from None
    return override(rehearsed, assignments)


def rehearses(name: str) -> str:
    """The study that the study `name` is the rehearsal of; "" if it is none."""
    return name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else ""


def _load(name: str) -> Study:
    path = workflows_folder() / f"{name.replace('-', '_')}.py"
    if name.replace("_", "-") not in study_names():
        close = difflib.get_close_matches(name, study_names(), n=1)
        there = ", ".join(study_names()) or "none; RLGEN_WORKFLOWS names another folder"
        hint = f"did you mean {close[0]}?" if close else f"there are: {there}"
        raise UserError(f"study {name}: no {path.name} in {path.parent}; {hint}")
    try:
        study = runpy.run_path(str(path)).get("STUDY")
    except ValidationError as error:
        raise UserError(f"{path.name}: {explain(error)}") from None
    if not isinstance(study, Study):
        raise UserError(f"{path.name}: holds no STUDY of type Study; see workflows/tiny.py")
    return study

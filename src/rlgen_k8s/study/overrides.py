"""`--set field=value`: change settings by their path, with errors that name the field."""

import difflib
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.settings import StageSettings, instead
from rlgen_k8s.study.settings import Study


def override(study: Study, assignments: list[str]) -> Study:
    """`study` with each `a.b=value` applied; values are read as YAML (`1e-3`, `true`, `[1, 2]`, text)."""
    if not assignments:
        return study
    values = study.model_dump()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected field=value, for example --set sft.learning_rate=1e-3")
        stage, _, field = path.strip().partition(".")
        if advice := _filled(stage, field):
            raise UserError(f"--set {assignment}: the study fills {path.strip()}; {advice}")
        try:
            value = _value(text)
        except yaml.YAMLError:
            raise UserError(
                f"--set {assignment}: the value is no YAML; quote it whole, as in --set 'replicates=[1, 2]'; "
                "in SET of make no value may hold a space"
            ) from None
        _assign(values, path.strip().split("."), value)
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error)) from None


def _value(text: str) -> Any:
    value = yaml.safe_load(text)
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text, since it has no point.
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _filled(stage: str, field: str) -> str:
    """What to set instead of a stage's field that the study fills; "" for every other path."""
    settings = Study.model_fields[stage].annotation if stage in Study.model_fields else None
    return instead(settings, field) if isinstance(settings, type) and issubclass(settings, StageSettings) else ""


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set `value` at `path`; below `pods` any name may be new, since the study itself checks those."""
    for depth, name in enumerate(path):
        if name not in values and "pods" not in path[:depth]:
            raise UserError(_unknown(".".join(path), name, list(values)))
        if depth == len(path) - 1:
            values[name] = value
            return
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UserError(f"setting {'.'.join(path)}: {name} is a value and has no fields")


def _unknown(path: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    return f"setting {path}: no field {name}; {hint}"


def explain(error: ValidationError) -> str:
    """One line for the first thing that pydantic found wrong, with the field's path and the value."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"]) or "study"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f"={given!r}"
    return f"setting {path}{shown}: {message[0].lower()}{message[1:]}{more}; `rlgen settings` explains each field"

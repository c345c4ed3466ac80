"""The settings of a study as a table: path, value, unit, meaning, source."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from rlgen_k8s.study.settings import Study


class Row(NamedTuple):
    """One setting."""

    path: str
    value: Any
    unit: str
    meaning: str
    source: str


def settings_table(study: Study) -> list[Row]:
    """Every setting of `study`, in the order of the stages."""
    return list(_rows(study, ""))


def _rows(model: BaseModel, prefix: str) -> Iterator[Row]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{prefix}{name}.")
        elif isinstance(value, dict) and value and all(isinstance(item, BaseModel) for item in value.values()):
            for key, item in value.items():
                yield from _rows(item, f"{prefix}{name}.{key}.")
        else:
            extra = field.json_schema_extra
            unit, source = (str(extra["unit"]), str(extra["source"])) if isinstance(extra, dict) else ("", "")
            yield Row(f"{prefix}{name}", value, unit, field.description or "", source)

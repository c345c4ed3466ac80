"""What every stage's settings have in common: frozen, closed, each field documented."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StageSettings(BaseModel):
    """Settings of one stage. Unknown fields are refused; instances cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def setting(default: Any = ..., *, doc: str, source: str, unit: str = "", **constraints: Any) -> Any:
    """A settings field with its meaning, its unit ("" for a name or a switch) and where its value comes from."""
    return Field(default, description=doc, json_schema_extra={"unit": unit, "source": source}, **constraints)


def seed_setting() -> Any:
    """The field `seed` of a stage's settings; the study fills it."""
    return setting(0, doc="Seed of every random choice of this stage; filled from the study's.", source="ours", ge=0)

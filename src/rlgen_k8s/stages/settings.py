"""What every stage's settings have in common: frozen, closed, each field documented."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StageSettings(BaseModel):
    """Settings of one stage. Unknown fields are refused; instances cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def setting(default: Any = ..., *, doc: str, source: str, unit: str = "", filled: str = "", **constraints: Any) -> Any:
    """A settings field with its meaning, its unit ("" for a name or a switch) and where its value comes from.

    `filled` says of a field that a study fills, and nobody else, what to do instead.
    """
    return Field(
        default,
        description=doc,
        json_schema_extra={"unit": unit, "source": source, "filled": filled},
        **constraints,
    )


def seed_setting() -> Any:
    """The field `seed` of a stage's settings; the study fills it."""
    doc = "Seed of every random choice of this stage; filled from the study's."
    return setting(0, doc=doc, source="ours", filled="set seed", ge=0)


def shards_setting(work: str) -> Any:
    """The field `shards` of the settings of a stage whose `work` several pods can share."""
    doc = f"Pods that share the {work}, each with a result of its own; together they make what one would."
    return setting(1, doc=doc, unit="pods", source="ours", ge=1)


def shard_setting(stage: str) -> Any:
    """The field `shard` beside `shards`; the study fills it."""
    doc = "Which of the shards this is; filled by the study."
    return setting(0, doc=doc, source="ours", filled=f"set {stage}.shards", ge=0)


def instead(settings: type[BaseModel], name: str) -> str:
    """What to do instead of setting the field `name`, if the study fills it; "" for every other field."""
    field = settings.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    return str(extra.get("filled", "")) if isinstance(extra, dict) else ""

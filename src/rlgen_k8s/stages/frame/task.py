"""What `rlgen-stage` is asked to do, from its command line; refused unless it is exactly what was planned."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.registry import STAGES, Stage
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.store.keys import split_address
from rlgen_k8s.store.manifest import Identity


@dataclass(frozen=True)
class Task:
    """One task of a DAG: a stage with its settings, and the addresses of its inputs by name."""

    name: str
    stage: Stage
    settings: StageSettings
    identity: Identity

    @property
    def address(self) -> str:
        """Where the result is, or will be."""
        return self.identity.address


def parse_task(argv: Sequence[str]) -> Task:
    """The task of a command line. Raises UserError for settings or inputs that are not what the key was made from."""
    parser = argparse.ArgumentParser(prog="rlgen-stage", description="Run one stage: the command of a study's pods.")
    parser.add_argument("--stage", required=True, help=f"one of {', '.join(STAGES)}")
    parser.add_argument("--key", required=True, help="the key that stage, settings and inputs must hash to")
    parser.add_argument("--settings", required=True, metavar="JSON", help="the stage's settings, an object")
    parser.add_argument("--inputs", required=True, metavar="JSON", help="name → stage/key or stage/key/path, an object")
    parser.add_argument("--name", default="", help="the task's name in the DAG (default: the stage's)")
    options = parser.parse_args(argv)

    stage = STAGES.get(options.stage)
    if stage is None:
        raise UserError(f"stage {options.stage!r}: expected one of {', '.join(STAGES)}")
    settings = _settings(stage, options.settings)
    identity = Identity(
        stage=stage.name,
        version=stage.version,
        settings=settings.model_dump(mode="json"),
        inputs=_inputs(options.inputs),
    )
    if identity.key != options.key:
        raise UserError(
            f"key {options.key}: stage {stage.name} version {stage.version} with these settings and inputs is "
            f"{identity.key}; plan the study again with the version of rlgen-k8s that runs it"
        )
    return Task(options.name or stage.name, stage, settings, identity)


def _object(option: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{option} {text[:60]!r}: expected a JSON object ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{option} {text[:60]!r}: expected a JSON object")
    return value


def _settings(stage: Stage, text: str) -> StageSettings:
    _object("--settings", text)
    try:
        return stage.settings.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(all)"
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"setting {stage.name}.{field}: {message} (given: {str(first['input'])[:80]!r})") from error


def _inputs(text: str) -> dict[str, str]:
    inputs = _object("--inputs", text)
    for name, reference in inputs.items():
        if not isinstance(reference, str):
            raise UserError(f"input {name}: expected stage/key or stage/key/path, found {reference!r}")
        split_address(reference)
    return inputs

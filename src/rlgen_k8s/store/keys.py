"""Names of results, known before the results exist.

A key is a hash of all that decides a result: the stage's name and version, its settings, and the addresses of its
inputs, whose keys hash theirs in turn. An address is `stage/key`; an input may also be a folder inside a result,
`stage/key/sub/path`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from rlgen_k8s.errors import UserError

KEY_LENGTH = 32
_ADDRESS = re.compile(r"(?P<address>[a-z][a-z0-9_-]*/[0-9a-f]{32})(?:/(?P<sub>.+))?")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: names sorted, no spaces, ASCII only, no NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def stage_key(name: str, version: int, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The key of a stage's result: 32 hex digits of a SHA-256.

    `settings` is plain JSON, in practice `model_dump(mode="json")` of validated settings (so that 1 and 1.0 in a
    float field are one value). `inputs` gives an address by name.
    """
    identity = {"stage": name, "version": version, "settings": dict(settings), "inputs": dict(inputs)}
    return hashlib.sha256(canonical_json(identity).encode("ascii")).hexdigest()[:KEY_LENGTH]


def address_of(stage: str, key: str) -> str:
    """The address of a result, `stage/key`."""
    return f"{stage}/{key}"


def split_address(reference: str) -> tuple[str, str]:
    """`stage/key/sub/path` as (`stage/key`, `sub/path`); the sub-path is "" for a whole result.

    Raises UserError for anything that is not an address, paths that climb (`..`) included.
    """
    match = _ADDRESS.fullmatch(reference)
    sub = (match["sub"] or "") if match else ""
    if match is None or (sub and any(part in ("", ".", "..") for part in sub.split("/"))):
        raise UserError(
            f"address {reference!r}: expected stage/key or stage/key/path, with a key of {KEY_LENGTH} hex digits"
        )
    return match["address"], sub

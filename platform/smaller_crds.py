"""Drop the descriptions from CRDs, and label them: smaller_crds.py KEY=VALUE, from JSON objects to a List.

Descriptions are two thirds of Argo's CRDs. Without them the same is valid, and applying takes a quarter of the time.
"""

import json
import sys
from typing import Any


def without_descriptions(schema: Any) -> Any:
    """The schema without its texts; a field that is called `description` stays."""
    if isinstance(schema, list):
        return [without_descriptions(item) for item in schema]
    if isinstance(schema, dict):
        return {
            key: without_descriptions(value)
            for key, value in schema.items()
            if key != "description" or isinstance(value, dict)
        }
    return schema


def objects(text: str) -> list[dict[str, Any]]:
    """JSON objects that follow each other."""
    found, rest = [], text.lstrip()
    while rest:
        item, length = json.JSONDecoder().raw_decode(rest)
        found.append(item)
        rest = rest[length:].lstrip()
    return found


def main() -> None:
    """As the module's text says."""
    key, value = sys.argv[1].split("=")
    items = without_descriptions(objects(sys.stdin.read()))
    for item in items:
        item["metadata"].setdefault("labels", {})[key] = value
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)


if __name__ == "__main__":
    main()

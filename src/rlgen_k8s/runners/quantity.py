"""Kubernetes quantities: `500m` cores, `2Gi` bytes."""

import re

from rlgen_k8s.errors import UserError

_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}
_UNITS |= {unit: 1000.0**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)}
_UNITS |= {f"{unit}i": 1024.0**power for power, unit in enumerate(("K", "M", "G", "T", "P", "E"), 1)}


def quantity(text: str) -> float:
    """The number that a quantity stands for. Raises `UserError` for what is none."""
    match = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)", str(text))
    if match is None or match[2] not in _UNITS:
        raise UserError(f"quantity {text}: expected a number with one of {', '.join(filter(None, _UNITS))}, or none")
    return float(match[1]) * _UNITS[match[2]]

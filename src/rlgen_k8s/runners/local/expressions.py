"""The two small languages inside an Argo workflow: `{{…}}` and conditions (`when`, `retryStrategy.expression`)."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from rlgen_k8s.errors import UserError

_TAG = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_CONTAINS = re.compile(r"([\w.]+)\s+contains\s+('[^']*')")
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"asInt": int, "asFloat": float}


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `{{name}}` replaced. Raises `UserError` for a name that has no value here."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise UserError(f"workflow expression {{{{{name}}}}}: the local runner knows no such value; run it on Argo")
        return values[name]

    return _TAG.sub(value, text)


def holds(condition: str, values: Mapping[str, Any]) -> bool:
    """Whether an Argo condition is true. Dotted names come from `values`; any other bare word stands for itself.

    Supported: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `name contains 'text'`, `&&`, `||`, `!`, brackets, lists,
    numbers, texts, `asInt`, `asFloat`. Raises `UserError` for the rest.
    """
    python = _CONTAINS.sub(r"(\2 in \1)", condition).replace("&&", " and ").replace("||", " or ")
    python = re.sub(r"!(?!=)", " not ", python)
    try:
        return bool(_value(ast.parse(python.strip(), mode="eval").body, values))
    except (SyntaxError, TypeError, ValueError) as error:
        raise UserError(f"workflow condition {condition!r}: not understood by the local runner ({error})") from None


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() | ast.Attribute():
            name = ast.unparse(node)
            constants = {"true": True, "false": False, "nil": None}
            return values.get(name, constants.get(name, name))
        case ast.List():
            return [_value(item, values) for item in node.elts]
        case ast.UnaryOp(op=ast.Not()):
            return not _value(node.operand, values)
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, values)
        case ast.BoolOp():
            results = (bool(_value(item, values)) for item in node.values)
            return all(results) if isinstance(node.op, ast.And) else any(results)
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _COMPARISONS[type(op)](_value(node.left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_value(argument, values))
    raise ValueError(f"{ast.unparse(node)} is not supported")

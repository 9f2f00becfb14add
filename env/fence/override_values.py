"""What no training setting can be, as far as it is written out: a test of it would be wasted."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

_WHOLE = ("warmup_iters",)
_NUMBERS = ("learning_rate", "weight_decay", *_WHOLE, "min_lr", "grad_clip")
"""Settings of the built-in scripts. What an operator's own keys may hold is left to their script."""
_LARGEST = 1e30
"""Of the numbers in an expression that is worked out here."""
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: math.pow,
}
_NO_NUMBERS = (
    ast.Dict,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.JoinedStr,
    ast.Lambda,
    ast.Compare,
    ast.ListComp,
    ast.DictComp,
)
_MOST_DEEP = 20


def problem_of(key: str, value: ast.expr | None) -> str | None:
    """Why `value` can't be this setting's, in words; None if it can, or is computed by what only a run knows."""
    if key not in _NUMBERS or value is None:
        return None
    allowed = f"{key} is {_allowed(key)}"
    if _is_no_number(value):
        return f"{_shown(value)} is no number; {allowed}"
    number = _number(value, _MOST_DEEP)
    if number is None:
        return None
    if not 0 <= number < math.inf or (key in _WHOLE and number != int(number)):
        return f"{key} would be {number:g}; {allowed}"
    return None


def _allowed(key: str) -> str:
    return f"a {'whole' if key in _WHOLE else 'finite'} number, zero or more"


def _is_no_number(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, bool) or not isinstance(value.value, int | float)
    return isinstance(value, _NO_NUMBERS)


def _number(value: ast.expr, depth: int) -> float | None:
    """What an expression of plain numbers comes to; None for any other."""
    match value:
        case _ if depth == 0:
            return None
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as number):
            return float(number) if abs(number) <= _LARGEST else math.inf
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            positive = _number(inner, depth - 1)
            return None if positive is None else -positive
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _number(inner, depth - 1)
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
            return _read(text)
        case ast.Attribute(value=ast.Name(id="math" | "np" | "torch"), attr="inf" | "nan" as name):
            return float(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            first, second = _number(left, depth - 1), _number(right, depth - 1)
            if first is None or second is None:
                return None
            try:
                return float(_OPERATORS[type(op)](first, second))
            except (ArithmeticError, ValueError):
                return math.nan
    return None


def _read(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _shown(value: ast.expr) -> str:
    shown = ast.unparse(value)
    return f"`{shown[:60]}{'…' if len(shown) > 60 else ''}`"

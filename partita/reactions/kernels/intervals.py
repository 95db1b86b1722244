"""Bounds of a rate law over a stretch of time, by interval arithmetic over its tree.

    x in [a, b],  y in [c, d]:    x + y in [a + c, b + d],
    x y in [min, max] of {a c, a d, b c, b d},    and so on

Time is a range, all else a number. Rounding keeps order, so that the ends, computed as the law is, hold
whatever floats it computes between them. The rules stand in the table of operators; here they are compiled.
"""

import functools
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit

from partita.reactions.model import ranges
from partita.reactions.model.expression import TIME, Expression, Name, Number, evaluate, names, source
from partita.reactions.model.operators import MANY, OPERATORS

point = njit(error_model="numpy")(ranges.point)


@njit(error_model="numpy")
def as_floats(x):
    """The range with ends that are numbers: 1 and 0 for true and false."""
    return np.float64(x[0]), np.float64(x[1])


def rule(symbol: str) -> Callable:
    """Return the compiled rule of an operator.

    Example:
        >>> rule("-")((1.0, 2.0), (0.0, 5.0))
        (-4.0, 2.0)
    """
    return _compiled(OPERATORS[symbol].bounds, False)


def inner_rule(symbol: str) -> Callable:
    """Return the compiled rule of an operator for kernels alone.

    It cannot be called from Python, and takes half as long to compile.
    """
    return _compiled(OPERATORS[symbol].bounds, True)


@functools.cache
def _compiled(function: FunctionType, inner: bool) -> Callable:
    """A copy of a function, compiled, as all functions that it calls; `inner` for kernels alone."""
    scope = function.__globals__
    called = {
        name: _compiled(scope[name], True)
        for name in function.__code__.co_names
        if isinstance(scope.get(name), FunctionType)
    }
    copy = FunctionType(
        function.__code__, {**scope, **called}, function.__name__, function.__defaults__, function.__closure__
    )
    return njit(error_model="numpy", no_cpython_wrapper=inner, no_cfunc_wrapper=inner)(copy)


def range_source(
    expression: Expression, rename: Callable[[str], str], lines: list[str], rules: dict[str, str]
) -> str:
    """Numba source of the range of an expression while time goes from `t` to `end`.

    Args:
        expression: The tree.
        rename: What stands for a name in the source.
        lines: Takes the lines that compute the range.
        rules: Takes the names by which they call rules: operator → name.

    Returns:
        The variable that holds the range: (low, high).

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> lines, rules = [], {}
        >>> range_source(parse("2 * k + sin(t)"), str, lines, rules), lines, rules
        ('r2', ['r0 = point((2.0 * k))', 'r1 = rule0((t, end))', 'r2 = rule1(r0, r1)'],
        {'sin': 'rule0', '+': 'rule1'})
    """
    if TIME not in names(expression):
        return _line(f"point({source(expression, rename)})", lines)
    if isinstance(expression, Name):
        return "(t, end)"
    assert not isinstance(expression, Number)
    parts = [range_source(argument, rename, lines, rules) for argument in expression.arguments]
    called = rules.setdefault(expression.operator, f"rule{len(rules)}")
    if OPERATORS[expression.operator].arity[1] < MANY:
        return _line(f"{called}({', '.join(parts)})", lines)
    return functools.reduce(lambda x, y: _line(f"{called}({x}, {y})", lines), parts)


def _line(value: str, lines: list[str]) -> str:
    lines.append(f"r{len(lines)} = {value}")
    return f"r{len(lines) - 1}"


def enclose(
    expression: Expression, values: Mapping[str, float], first: float, last: float
) -> tuple[Any, Any]:
    """The range of an expression while time goes from `first` to `last`: what `range_source` computes.

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> enclose(parse("k / (3 - t)"), {"k": 2.0}, 1.0, 2.0)
        (1.0, 2.0)
    """
    if TIME not in names(expression):
        value = np.asarray(evaluate(expression, values))[()]  # a scalar: `if` makes an array of no dimensions
        return value, value
    if isinstance(expression, Name):
        return first, last
    assert not isinstance(expression, Number)
    parts = [enclose(argument, values, first, last) for argument in expression.arguments]
    combine = rule(expression.operator)
    if OPERATORS[expression.operator].arity[1] < MANY:
        return combine(*parts)
    return functools.reduce(combine, parts)

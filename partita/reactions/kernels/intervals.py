"""Bounds of a rate law over a stretch of time, by interval arithmetic over its tree.

    x in [a, b],  y in [c, d]:    x + y in [a + c, b + d],    x y in [min, max] of {a c, a d, b c, b d},    and so on

Time is a range, all else a number. Rounding keeps order, so that the ends, computed as the law is, hold whatever floats it computes between
them; what a library computes with an error of some last places is made wider. NaN for an end says that nothing is known: the law may be
undefined there. A condition is a range too: whether it is surely true, and whether it may be.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numba import njit

from partita.reactions.model.expression import MANY, OPERATORS, TIME, Expression, Name, Number, evaluate, names, source

TURN = 2 * np.pi
ERROR = 2.0**-44  # relative: far above that of any library's exp or sin, far below what matters to a bound
_compiled = njit(error_model="numpy")


@_compiled
def _least(x, y):
    return x if x <= y or x != x else y  # NaN if either is


@_compiled
def _most(x, y):
    return x if x >= y or x != x else y


@_compiled
def _wider(low, high):
    return low * (1.0 - ERROR if low > 0.0 else 1.0 + ERROR), high * (1.0 + ERROR if high > 0.0 else 1.0 - ERROR)


@_compiled
def _hull(x, y):
    return _least(x[0], y[0]), _most(x[1], y[1])


@_compiled
def _span(a, b, c, d):
    return _least(_least(a, b), _least(c, d)), _most(_most(a, b), _most(c, d))


@_compiled
def _has_zero(x):
    return x[0] <= 0.0 <= x[1]


@_compiled
def _finite(x):
    return -np.inf < x[0] and x[1] < np.inf


@_compiled
def _point(value):
    """The range of what does not depend on time."""
    return value, value


@_compiled
def _plus(x, y):
    return x[0] + y[0], x[1] + y[1]


@_compiled
def _minus(x, y):
    return x[0] - y[1], x[1] - y[0]


@_compiled
def _negative(x):
    return -x[1], -x[0]


@_compiled
def _times(x, y):
    if (_has_zero(x) and not _finite(y)) or (_has_zero(y) and not _finite(x)):
        return np.nan, np.nan
    return _span(x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1])


@_compiled
def _over(x, y):
    if _has_zero(y):
        return (-np.inf, np.inf) if _finite(x) and not _has_zero(x) else (np.nan, np.nan)
    return _span(x[0] / y[0], x[0] / y[1], x[1] / y[0], x[1] / y[1])


@_compiled
def _power(x, y):
    (a, b), n = x, y[0]
    if a >= 0.0 or (b < 0.0 and n == y[1] and n == np.floor(n)):
        low, high = _span(a**n, a ** y[1], b**n, b ** y[1])
    elif n != y[1] or n != np.floor(n):
        return np.nan, np.nan
    elif n < 0.0:
        return -np.inf, np.inf
    else:
        low, high = _span(a**n, b**n, 1.0 if n == 0.0 else 0.0, b**n)
    return _wider(low, high)


@_compiled
def _smallest(x, y):
    return _least(x[0], y[0]), _least(x[1], y[1])


@_compiled
def _largest(x, y):
    return _most(x[0], y[0]), _most(x[1], y[1])


@_compiled
def _exponential(x):
    return _wider(np.exp(x[0]), np.exp(x[1]))


@_compiled
def _logarithm(x):
    return (np.nan, np.nan) if x[0] < 0.0 else _wider(np.log(x[0]), np.log(x[1]))


@_compiled
def _root(x):
    return (np.nan, np.nan) if x[0] < 0.0 else (np.sqrt(x[0]), np.sqrt(x[1]))


@_compiled
def _floored(x):
    return np.floor(x[0]), np.floor(x[1])


@_compiled
def _ceiled(x):
    return np.ceil(x[0]), np.ceil(x[1])


@_compiled
def _magnitude(x):
    a, b = abs(x[0]), abs(x[1])
    return 0.0 if _has_zero(x) else _least(a, b), _most(a, b)


@_compiled
def _reaches(x, phase, period):
    """Whether phase + k period is in the range, or nearly so, for a whole k."""
    a, b = (x[0] - phase) / period, (x[1] - phase) / period
    slack = ERROR * (1.0 + abs(a) + abs(b))
    return not np.floor(b + slack) < a - slack


@_compiled
def _wave(x, f, g, crest):
    low, high = _wider(_least(f, g), _most(f, g))
    if low != low:
        return low, high
    return -1.0 if _reaches(x, crest + TURN / 2, TURN) else max(-1.0, low), 1.0 if _reaches(x, crest, TURN) else min(1.0, high)


@_compiled
def _sine(x):
    return _wave(x, np.sin(x[0]), np.sin(x[1]), TURN / 4)


@_compiled
def _cosine(x):
    return _wave(x, np.cos(x[0]), np.cos(x[1]), 0.0)


@_compiled
def _tangent(x):
    low, high = np.tan(x[0]), np.tan(x[1])
    if _reaches(x, TURN / 4, TURN / 2) and low == low and high == high:
        return -np.inf, np.inf
    return _wider(low, high)


@_compiled
def _hyperbolic_tangent(x):
    low, high = _wider(np.tanh(x[0]), np.tanh(x[1]))
    return _most(low, -1.0), _least(high, 1.0)


@_compiled
def _share(x, k):
    """The range of x / (k + x): it rises with x and falls with k where neither is negative."""
    if x[0] >= 0.0 and k[0] > 0.0:
        return _wider(x[0] / (k[1] + x[0]), x[1] / (k[0] + x[1]))
    return _over(x, _plus(k, x))


@_compiled
def _hill(x, k, n):
    if n[1] < 0.0:
        x, k, n = k, x, (-n[1], -n[0])
    return _share(_power(x, n), _power(k, n))


@_compiled
def _michaelis_menten(x, vmax, km):
    # The law computes vmax x first, which may overflow.
    return _wider(*_times(vmax, _share(x, km))) if _finite(_times(vmax, x)) else (np.nan, np.nan)


@_compiled
def _less(x, y):
    return x[0] <= x[1] < y[0] <= y[1], not x[0] >= y[1]


@_compiled
def _at_most(x, y):
    return x[0] <= x[1] <= y[0] <= y[1], not x[0] > y[1]


@_compiled
def _greater(x, y):
    return _less(y, x)


@_compiled
def _at_least(x, y):
    return _at_most(y, x)


@_compiled
def _equal(x, y):
    return x[0] == x[1] == y[0] == y[1], not (x[1] < y[0] or y[1] < x[0])


@_compiled
def _opposite(x):
    return not x[1], not x[0]


@_compiled
def _different(x, y):
    return _opposite(_equal(x, y))


@_compiled
def _both(x, y):
    return x[0] and y[0], x[1] and y[1]


@_compiled
def _either(x, y):
    return x[0] or y[0], x[1] or y[1]


@_compiled
def _chosen(condition, x, y):
    if condition[0]:
        return x
    return _hull(x, y) if condition[1] else y


RULES: Mapping[str, Callable[..., Any]] = {
    "or": _either,
    "and": _both,
    "not": _opposite,
    "<": _less,
    "<=": _at_most,
    ">": _greater,
    ">=": _at_least,
    "==": _equal,
    "!=": _different,
    "+": _plus,
    "-": _minus,
    "*": _times,
    "/": _over,
    "neg": _negative,
    "**": _power,
    "min": _smallest,
    "max": _largest,
    "exp": _exponential,
    "log": _logarithm,
    "sqrt": _root,
    "floor": _floored,
    "ceil": _ceiled,
    "abs": _magnitude,
    "sin": _sine,
    "cos": _cosine,
    "tan": _tangent,
    "tanh": _hyperbolic_tangent,
    "hill": _hill,
    "mm": _michaelis_menten,
    "if": _chosen,
}


def range_source(expression: Expression, rename: Callable[[str], str], lines: list[str]) -> str:
    """Numba source of the range of an expression while time goes from `t` to `end`.

    Args:
        expression: The tree.
        rename: What stands for a name in the source.
        lines: Takes the lines that compute the range. They call this module as `intervals`, and `SCALAR_FUNCTIONS`.

    Returns:
        The variable that holds the range: (low, high).

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> lines = []
        >>> range_source(parse("2 * k + sin(t)"), str, lines), lines
        ('r2', ['r0 = intervals._point((2.0 * k))', 'r1 = intervals._sine((t, end))', 'r2 = intervals._plus(r0, r1)'])
    """
    if TIME not in names(expression):
        return _line(f"intervals._point({source(expression, rename)})", lines)
    if isinstance(expression, Name):
        return "(t, end)"
    assert not isinstance(expression, Number)
    rule = f"intervals.{RULES[expression.operator].__name__}"
    parts = [range_source(argument, rename, lines) for argument in expression.arguments]
    if OPERATORS[expression.operator].arity[1] < MANY:
        return _line(f"{rule}({', '.join(parts)})", lines)
    return functools.reduce(lambda x, y: _line(f"{rule}({x}, {y})", lines), parts)


def _line(value: str, lines: list[str]) -> str:
    lines.append(f"r{len(lines)} = {value}")
    return f"r{len(lines) - 1}"


def enclose(expression: Expression, values: Mapping[str, float], first: float, last: float) -> tuple[Any, Any]:
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
    rule = RULES[expression.operator]
    return functools.reduce(rule, parts) if OPERATORS[expression.operator].arity[1] == MANY else rule(*parts)

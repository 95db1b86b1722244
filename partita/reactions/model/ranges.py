"""Interval arithmetic: the range of an operator's result while its arguments go through theirs.

    f([a, b]) ⊇ { f(x) : a ≤ x ≤ b }

A range is a pair (low, high). What the mathematical library computes with an error of some last places is
made wider. NaN for an end says that nothing is known: the operator may be undefined there. The range of a
condition says whether it is surely true, and whether it may be. Kernels compile these functions: they call
one another by name, NumPy, and nothing else.
"""

import numpy as np

TURN = 2 * np.pi
ERROR = 2.0**-44  # relative: far above that of any library's exp or sin, far below what matters to a bound


def _least(x, y):
    return x if x <= y or x != x else y  # NaN if either is


def _most(x, y):
    return x if x >= y or x != x else y


def wider(low, high):
    """The range, made wider by what a library may err."""
    below, above = 1.0 - ERROR, 1.0 + ERROR
    return low * (below if low > 0.0 else above), high * (above if high > 0.0 else below)


def _hull(x, y):
    return _least(x[0], y[0]), _most(x[1], y[1])


def _span(a, b, c, d):
    return _least(_least(a, b), _least(c, d)), _most(_most(a, b), _most(c, d))


def _has_zero(x):
    return x[0] <= 0.0 <= x[1]


def _finite(x):
    return -np.inf < x[0] and x[1] < np.inf


def point(value):
    """The range of what does not depend on time."""
    return value, value


def plus(x, y):
    """The range of x + y."""
    return x[0] + y[0], x[1] + y[1]


def minus(x, y):
    """The range of x − y."""
    return x[0] - y[1], x[1] - y[0]


def negative(x):
    """The range of −x."""
    return -x[1], -x[0]


def times(x, y):
    """The range of x y."""
    if (_has_zero(x) and not _finite(y)) or (_has_zero(y) and not _finite(x)):
        return np.nan, np.nan
    return _span(x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1])


def over(x, y):
    """The range of x / y."""
    if _has_zero(y):
        return (-np.inf, np.inf) if _finite(x) and not _has_zero(x) else (np.nan, np.nan)
    return _span(x[0] / y[0], x[0] / y[1], x[1] / y[0], x[1] / y[1])


def power(x, y):
    """The range of x to the power y."""
    a, b, n = x[0] + 0.0, x[1] + 0.0, y[0]  # −0.0 to a negative power is −∞
    if a >= 0.0 or (b < 0.0 and n == y[1] and n == np.floor(n)):
        low, high = _span(a**n, a ** y[1], b**n, b ** y[1])
    elif n != y[1] or n != np.floor(n):
        return np.nan, np.nan
    elif n < 0.0:
        return -np.inf, np.inf
    else:
        low, high = _span(a**n, b**n, 1.0 if n == 0.0 else 0.0, b**n)
    return wider(low, high)


def smallest(x, y):
    """The range of the smaller of x and y."""
    return _least(x[0], y[0]), _least(x[1], y[1])


def largest(x, y):
    """The range of the larger of x and y."""
    return _most(x[0], y[0]), _most(x[1], y[1])


def exponential(x):
    """The range of exp(x)."""
    return wider(np.exp(x[0]), np.exp(x[1]))


def logarithm(x):
    """The range of log(x)."""
    return (np.nan, np.nan) if x[0] < 0.0 else wider(np.log(x[0]), np.log(x[1]))


def root(x):
    """The range of √x."""
    return (np.nan, np.nan) if x[0] < 0.0 else (np.sqrt(x[0]), np.sqrt(x[1]))


def floored(x):
    """The range of ⌊x⌋."""
    return np.floor(x[0]), np.floor(x[1])


def ceiled(x):
    """The range of ⌈x⌉."""
    return np.ceil(x[0]), np.ceil(x[1])


def magnitude(x):
    """The range of |x|."""
    a, b = abs(x[0]), abs(x[1])
    return 0.0 if _has_zero(x) else _least(a, b), _most(a, b)


def _reaches(x, phase, period):
    """Whether phase + k period is in the range, or nearly so, for a whole k."""
    a, b = (x[0] - phase) / period, (x[1] - phase) / period
    slack = ERROR * (1.0 + abs(a) + abs(b))
    return not np.floor(b + slack) < a - slack


def _wave(x, f, g, crest):
    low, high = wider(_least(f, g), _most(f, g))
    if low != low:
        return low, high
    low = -1.0 if _reaches(x, crest + TURN / 2, TURN) else max(-1.0, low)
    return low, 1.0 if _reaches(x, crest, TURN) else min(1.0, high)


def sine(x):
    """The range of sin(x)."""
    return _wave(x, np.sin(x[0]), np.sin(x[1]), TURN / 4)


def cosine(x):
    """The range of cos(x)."""
    return _wave(x, np.cos(x[0]), np.cos(x[1]), 0.0)


def tangent(x):
    """The range of tan(x)."""
    low, high = np.tan(x[0]), np.tan(x[1])
    if _reaches(x, TURN / 4, TURN / 2) and low == low and high == high:
        return -np.inf, np.inf
    return wider(low, high)


def hyperbolic_tangent(x):
    """The range of tanh(x)."""
    low, high = wider(np.tanh(x[0]), np.tanh(x[1]))
    return _most(low, -1.0), _least(high, 1.0)


def _share(x, k):
    """The range of x / (k + x): it rises with x and falls with k where neither is negative."""
    if x[0] >= 0.0 and k[0] > 0.0:
        return wider(x[0] / (k[1] + x[0]), x[1] / (k[0] + x[1]))
    return over(x, plus(k, x))


def hill(x, k, n):
    """The range of xⁿ / (kⁿ + xⁿ), and of its mirror image where n < 0."""
    if n[1] < 0.0:
        x, k, n = k, x, (-n[1], -n[0])
    return _share(power(x, n), power(k, n))


def michaelis_menten(x, vmax, km):
    """The range of vmax x / (km + x)."""
    # The law computes vmax x first, which may overflow.
    return wider(*times(vmax, _share(x, km))) if _finite(times(vmax, x)) else (np.nan, np.nan)


def less(x, y):
    """The range of x < y."""
    return x[0] <= x[1] < y[0] <= y[1], not x[0] >= y[1]


def at_most(x, y):
    """The range of x ≤ y."""
    return x[0] <= x[1] <= y[0] <= y[1], not x[0] > y[1]


def greater(x, y):
    """The range of x > y."""
    return less(y, x)


def at_least(x, y):
    """The range of x ≥ y."""
    return at_most(y, x)


def equal(x, y):
    """The range of x = y."""
    return x[0] == x[1] == y[0] == y[1], not (x[1] < y[0] or y[1] < x[0])


def opposite(x):
    """The range of not x."""
    return not x[1], not x[0]


def different(x, y):
    """The range of x ≠ y."""
    return opposite(equal(x, y))


def both(x, y):
    """The range of x and y."""
    return x[0] and y[0], x[1] and y[1]


def either(x, y):
    """The range of x or y."""
    return x[0] or y[0], x[1] or y[1]


def chosen(condition, x, y):
    """The range of x where the condition holds, y elsewhere."""
    if condition[0]:
        return x
    return _hull(x, y) if condition[1] else y

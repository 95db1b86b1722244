"""The operators of rate laws: one table, and all that is done with an operator read from its row.

To add a function, add a row: text, SBML, every kernel, bounds, the rate equation and its derivatives follow
from it.
"""

import functools
import operator as python
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from partita.reactions.model import ranges

SIZE_LIMIT = 10_000  # parts of an expression
MANY = SIZE_LIMIT
NEGATION = 7
CHAIN_LIMIT = 100  # operands that are written in one row


@dataclass(frozen=True)
class Operator:
    """One row of the table.

    Args:
        arity: Fewest and most arguments.
        source: Numba source of the result from the sources of the arguments. Arguments are floats, or
            booleans where they are conditions.
        apply: The value from a namespace (`numpy` or `keras.ops`) and the values of the arguments.
        bounds: The range of the result from the ranges of the arguments, as in `ranges`; where there may be
            many, of two at a time.
        derivative: Its derivative as text, of the arguments x, y, z and of their derivatives dx, dy, dz;
            where there may be many arguments, of two at a time; "" for what gives a condition.
        level: How tightly it binds where it is written between or before its arguments; None for `name(…)`.
        wants: Whether each argument must be a condition; the last entry stands for all that follow.
        gives: Whether the result is a condition.
        mathml: The element of MathML that means the same, for functions that are `name(…)` there, too.
        definition: Source of a function that `source` calls, so that an argument is written once however deep
            it nests.
        is_arithmetic: Whether vector units compute it.
    """

    arity: tuple[int, int]
    source: Callable[..., str]
    apply: Callable[..., Any]
    bounds: Callable[..., tuple[Any, Any]]
    derivative: str = ""
    level: int | None = None
    wants: tuple[bool, ...] = (False,)
    gives: bool = False
    mathml: str = ""
    definition: str = ""
    is_arithmetic: bool = False


def grouped(arguments: tuple[str, ...], source: Callable[..., str]) -> list[str]:
    """Return the arguments, or where they are many, sources of groups of them.

    Python's compiler goes as deep as a sum is long.
    """
    parts = [*arguments]
    while len(parts) > CHAIN_LIMIT:
        groups = [parts[i : i + CHAIN_LIMIT] for i in range(0, len(parts), CHAIN_LIMIT)]
        parts = [source(*group) if len(group) > 1 else group[0] for group in groups]
    return parts


def _call(name: str) -> Callable[..., str]:
    """Return a `source` that calls a function, of groups of its arguments where they are many."""

    def source(*arguments: str) -> str:
        return f"{name}({', '.join(grouped(arguments, source))})"

    return source


def _reduce(name: str) -> Callable[..., Any]:
    """Return an `apply` that reduces any number of values by the namespace's function of two."""
    return lambda xp, *values: functools.reduce(getattr(xp, name), values)


def _before(symbol: str, level: int, apply: Callable, bounds: Callable, **row: Any) -> Operator:
    return Operator((1, 1), lambda x: f"({symbol}{x})", apply, bounds, level=level, **row)


def _between(
    symbol: str,
    level: int,
    function: Callable[[Any, Any], Any],
    bounds: Callable,
    derivative: str = "",
    most: int = 2,
    **row: Any,
) -> Operator:
    def source(*arguments: str) -> str:
        return f"({f' {symbol} '.join(grouped(arguments, source))})"

    def apply(xp: Any, *values: Any) -> Any:
        return functools.reduce(function, values)

    return Operator((2, most), source, apply, bounds, derivative, level, **row)


def _joined(word: str, level: int, name: str, bounds: Callable) -> Operator:
    def source(*arguments: str) -> str:
        return f"({f' {word} '.join(arguments)})"

    return Operator((2, MANY), source, _reduce(name), bounds, level=level, wants=(True,), gives=True)


def function(name: str, bounds: Callable, derivative: str, mathml: str | None = None) -> Operator:
    """Return the row of a function of one number that NumPy and Keras have under this name.

    MathML has it under this name as well if not told otherwise.
    """

    def apply(xp: Any, x: Any) -> Any:
        return getattr(xp, name)(x)

    element = name if mathml is None else mathml
    return Operator((1, 1), _call(f"np.{name}"), apply, bounds, derivative, mathml=element)


def _hill(xp, x, k, n):
    # The same with x and k exchanged where n < 0: 1 at x = 0, which to a negative power would be infinite.
    up, down = xp.where(n < 0, k, x) ** abs(n), xp.where(n < 0, x, k) ** abs(n)
    return up / (down + up)


_POWER_SLOPE = "if(y == 0, 0, y * x ** (y - 1)) * dx + if(x > 0, x ** y * log(x), 0) * dy"

# With m = |n| all three derivatives of a Hill function share x^m k^m / (k^m + x^m)²; in two of them a factor
# x or k cancels.
_HILL_SLOPE = (
    "if(z == 0, 0, z * x ** (abs(z) - 1) * y ** abs(z) / (y ** abs(z) + x ** abs(z)) ** 2) * dx"
    " - if(z == 0, 0, z * x ** abs(z) * y ** (abs(z) - 1) / (y ** abs(z) + x ** abs(z)) ** 2) * dy"
    " + if(x > 0, x ** abs(z) * y ** abs(z) / (y ** abs(z) + x ** abs(z)) ** 2 * log(x / y), 0) * dz"
)

_HILL_SOURCE = """\
def hill(x, k, n):
    if n < 0:
        x, k, n = k, x, -n
    power = x**n
    return power / (k**n + power)
"""

OPERATORS: dict[str, Operator] = {
    "or": _joined("or", 1, "logical_or", ranges.either),
    "and": _joined("and", 2, "logical_and", ranges.both),
    "not": _before("not ", 3, lambda xp, x: xp.logical_not(x), ranges.opposite, wants=(True,), gives=True),
    "<": _between("<", 4, python.lt, ranges.less, gives=True),
    "<=": _between("<=", 4, python.le, ranges.at_most, gives=True),
    ">": _between(">", 4, python.gt, ranges.greater, gives=True),
    ">=": _between(">=", 4, python.ge, ranges.at_least, gives=True),
    "==": _between("==", 4, python.eq, ranges.equal, gives=True),
    "!=": _between("!=", 4, python.ne, ranges.different, gives=True),
    "+": _between("+", 5, python.add, ranges.plus, "dx + dy", MANY, is_arithmetic=True),
    "-": _between("-", 5, python.sub, ranges.minus, "dx - dy", is_arithmetic=True),
    "*": _between("*", 6, python.mul, ranges.times, "dx * y + x * dy", MANY, is_arithmetic=True),
    "/": _between("/", 6, python.truediv, ranges.over, "dx / y - x * dy / y ** 2", is_arithmetic=True),
    "neg": _before("-", NEGATION, lambda xp, x: -x, ranges.negative, derivative="-dx", is_arithmetic=True),
    "**": _between("**", 8, python.pow, ranges.power, _POWER_SLOPE),
    "min": Operator((2, MANY), _call("min"), _reduce("minimum"), ranges.smallest, "if(x <= y, dx, dy)"),
    "max": Operator((2, MANY), _call("max"), _reduce("maximum"), ranges.largest, "if(x >= y, dx, dy)"),
    "exp": function("exp", ranges.exponential, "exp(x) * dx"),
    "log": function("log", ranges.logarithm, "dx / x", mathml="ln"),
    "sqrt": function("sqrt", ranges.root, "dx / (2 * sqrt(x))", mathml=""),
    "floor": function("floor", ranges.floored, "0"),
    "ceil": function("ceil", ranges.ceiled, "0", mathml="ceiling"),
    "abs": function("abs", ranges.magnitude, "if(x < 0, -dx, dx)"),
    "sin": function("sin", ranges.sine, "cos(x) * dx"),
    "cos": function("cos", ranges.cosine, "-sin(x) * dx"),
    "tan": function("tan", ranges.tangent, "(1 + tan(x) ** 2) * dx"),
    "tanh": function("tanh", ranges.hyperbolic_tangent, "(1 - tanh(x) ** 2) * dx"),
    "hill": Operator((3, 3), _call("hill"), _hill, ranges.hill, _HILL_SLOPE, definition=_HILL_SOURCE),
    "mm": Operator(
        (3, 3),
        _call("mm"),
        lambda xp, x, vmax, km: vmax * x / (km + x),
        ranges.michaelis_menten,
        "dy * x / (z + x) + y * z / (z + x) ** 2 * dx - y * x / (z + x) ** 2 * dz",
        definition="def mm(x, vmax, km):\n    return vmax * x / (km + x)\n",
    ),
    "if": Operator(
        (3, 3),
        lambda condition, then, other: f"({then} if {condition} else {other})",
        lambda xp, condition, then, other: xp.where(condition, then, other),
        ranges.chosen,
        "if(x != 0, dy, dz)",
        wants=(True, False, False),
    ),
}

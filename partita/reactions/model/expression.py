"""Rate laws as small trees: numbers, names and operators out of one table, and nothing else.

    e  ::=  number  |  name  |  operator(e, …)

User text becomes such a tree and stays one. Text, Numba source and values are made from the tree, through
`OPERATORS` alone.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partita.quoting import got, shown
from partita.reactions.model.operators import MANY, NEGATION, OPERATORS, SIZE_LIMIT

DEPTH_LIMIT = 150  # the generated source has a parenthesis for each level, and Python reads at most 200
NAME_LIMIT = 255  # bytes in UTF-8: a name becomes that of a file, a folder or a variable in one
TIME = "t"
KINDS = ("a number", "a condition")  # by whether it is a condition
_RESERVED = {TIME, "at", "when", "species", "fixed", "convention"}
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Number:
    """A number ≥ 0, finite; `number` makes a tree of any finite number.

    Raises:
        ValueError: if the value is negative, infinite or NaN.

    Example:
        >>> to_text(Number(0.5))
        '0.5'
    """

    value: float
    depth = size = 1

    def __post_init__(self) -> None:
        value = float(self.value)
        if not (0 <= value < math.inf) or math.copysign(1, value) < 0:
            raise ValueError(f"value of a Number must be finite and not negative, got {value!r}")
        object.__setattr__(self, "value", value)


@dataclass(frozen=True)
class Name:
    """A species, a parameter, a rule, or the time `t`.

    Example:
        >>> names(Name("k"))
        frozenset({'k'})
    """

    name: str
    depth = size = 1


@dataclass(frozen=True)
class Call:
    """An operator of the table `OPERATORS`, and what it is applied to.

    Raises:
        ValueError: if the operator is unknown, the number or kind of its arguments wrong, or the tree too
            deep or too large.

    Example:
        >>> to_text(Call("*", (Name("k"), Call("+", (Name("a"), Name("b"))))))
        'k * (a + b)'
    """

    operator: str
    arguments: tuple["Expression", ...]
    depth: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        row = OPERATORS.get(self.operator)
        if row is None:
            raise ValueError(f"operator must be one of {' '.join(OPERATORS)}, got {self.operator!r}")
        low, high = row.arity
        if not low <= len(self.arguments) <= high:
            wanted = str(low) if low == high else f"{low} or more" if high == MANY else f"{low} to {high}"
            raise ValueError(
                f"{self.operator!r} takes {wanted} argument{'s' * (wanted != '1')}, got {len(self.arguments)}"
            )
        for position, argument in enumerate(self.arguments):
            kind = row.wants[min(position, len(row.wants) - 1)]
            if is_condition(argument) != kind:
                what = f"argument {position + 1} of {self.operator!r}"
                raise ValueError(f"{what} must be {KINDS[kind]}, got {KINDS[not kind]}")
        depth, size = 1 + max(a.depth for a in self.arguments), 1 + sum(a.size for a in self.arguments)
        if depth > DEPTH_LIMIT:
            raise ValueError(f"an expression must be at most {DEPTH_LIMIT} levels deep, got more")
        if size > SIZE_LIMIT:
            raise ValueError(f"an expression must have at most {SIZE_LIMIT} parts, got more")
        object.__setattr__(self, "depth", depth)
        object.__setattr__(self, "size", size)


Expression = Number | Name | Call


def number(value: float) -> Expression:
    """The tree of any finite number.

    Raises:
        ValueError: if the value is infinite or NaN.

    Example:
        >>> number(-2)
        Call(operator='neg', arguments=(Number(value=2.0),))
    """
    return Call("neg", (Number(-value),)) if value < 0 else Number(abs(value))


def is_condition(expression: Expression) -> bool:
    """Whether it is true or false, and not a number."""
    return isinstance(expression, Call) and OPERATORS[expression.operator].gives


def check_name(name: str) -> str:
    """The name, if it can be the name of a species, parameter, rule, reaction or event.

    Raises:
        ValueError: if it is no word, too long, or a word that the text of a network uses itself.
    """
    if isinstance(name, str) and len(name.encode("utf-8", "surrogatepass")) > NAME_LIMIT:
        raise ValueError(
            f"a name must have at most {NAME_LIMIT} bytes, got {len(name)} characters, {name[:40]!r}…"
        )
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"a name must be letters, digits and _, and begin with no digit, got {got(name)}")
    if name in _RESERVED or name in OPERATORS:
        raise ValueError(f"{name!r} has a meaning of its own and cannot be a name")
    return name


def names(expression: Expression) -> frozenset[str]:
    """All names in an expression, `t` among them."""
    if isinstance(expression, Call):
        return frozenset().union(*map(names, expression.arguments))
    return frozenset({expression.name} if isinstance(expression, Name) else ())


def operators(expression: Expression) -> frozenset[str]:
    """All operators in an expression."""
    if not isinstance(expression, Call):
        return frozenset()
    return frozenset({expression.operator}).union(*map(operators, expression.arguments))


def substitute(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """The expression with names replaced; the replacements are not searched again.

    Raises:
        ValueError: if the result is too deep or too large.

    Example:
        >>> to_text(substitute(Call("*", (Name("k"), Name("x"))), {"x": Call("+", (Name("a"), Number(1)))}))
        'k * (a + 1)'
    """
    if isinstance(expression, Name):
        return values.get(expression.name, expression)
    if isinstance(expression, Number):
        return expression
    return Call(expression.operator, tuple(substitute(argument, values) for argument in expression.arguments))


def to_text(expression: Expression) -> str:
    """Text that parses back to the same tree.

    Example:
        >>> to_text(Call("-", (Name("a"), Call("-", (Name("b"), Number(1))))))
        'a - (b - 1)'
    """
    if isinstance(expression, Number):
        value = expression.value
        return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)
    if isinstance(expression, Name):
        return expression.name
    symbol, arguments = expression.operator, expression.arguments
    level = OPERATORS[symbol].level
    if level is None:
        return f"{symbol}({', '.join(map(to_text, arguments))})"
    if symbol in ("neg", "not"):
        return ("-" if symbol == "neg" else "not ") + _operand(arguments[0], level)
    if symbol == "**":  # binds to the right, and its exponent may have a sign
        return f"{_operand(arguments[0], level + 1)} ** {_operand(arguments[1], NEGATION)}"
    # a - b + c runs from left to right; a + b + c is one sum of three, so a sum that begins a sum keeps its
    # parentheses.
    first, rest = arguments[0], arguments[1:]
    joined = OPERATORS[symbol].arity[1] == MANY and isinstance(first, Call) and first.operator == symbol
    comparison = level == OPERATORS["<"].level
    return f" {symbol} ".join(
        [_operand(first, level + (joined or comparison)), *(_operand(a, level + 1) for a in rest)]
    )


def _operand(expression: Expression, least: int) -> str:
    level = OPERATORS[expression.operator].level if isinstance(expression, Call) else None
    text = to_text(expression)
    return f"({text})" if level is not None and level < least else text


def source(expression: Expression, rename: Callable[[str], str]) -> str:
    """Numba source of an expression, made from the tree alone.

    Args:
        expression: The tree.
        rename: What stands for a name in the source; must be a float there. The source calls `np` and what
            rows of the table define.

    Example:
        >>> source(Call("**", (Name("x"), Number(2))), {"x": "s[0]"}.__getitem__)
        '(s[0] ** 2)'
    """
    if isinstance(expression, Number):
        return repr(expression.value)
    if isinstance(expression, Name):
        return rename(expression.name)
    parts = [source(argument, rename) for argument in expression.arguments]
    match expression:
        case Call("**", (_, Number(power))) if power in range(65):
            parts[1] = str(int(power))  # an integer power is a few products
    return OPERATORS[expression.operator].source(*parts)


def evaluate(expression: Expression, values: Mapping[str, Any], xp: Any = np) -> Any:
    """The value of an expression.

    Args:
        expression: The tree.
        values: A number or an array for each name, shapes that broadcast.
        xp: `numpy` or `keras.ops`: the namespace whose functions are applied.

    Raises:
        KeyError: if a name has no value.

    Example:
        >>> evaluate(Call("hill", (Name("x"), Number(10), Number(2))), {"x": np.array([0.0, 10.0])})
        array([0. , 0.5])
    """
    if isinstance(expression, Number):
        # Python's own float will not divide by 0
        return np.float64(expression.value) if xp is np else expression.value
    if isinstance(expression, Name):
        return values[expression.name]
    if xp is not np and all(isinstance(values[name], (int, float)) for name in names(expression)):
        # numbers alone, which keras.ops would round to float32
        return np.asarray(evaluate(expression, values)).item()
    arguments = [evaluate(argument, values, xp) for argument in expression.arguments]
    return OPERATORS[expression.operator].apply(xp, *arguments)


def constant(expression: Expression, values: Mapping[str, float]) -> float:
    """The finite number that an expression of known names comes to.

    Raises:
        ValueError: if a name has no value, or the result is no finite number.

    Example:
        >>> constant(Call("/", (Number(1), Name("n"))), {"n": 4})
        0.25
    """
    if missing := sorted(name for name in names(expression) if name not in values):
        raise ValueError(f"{missing[0]!r} has no value here")
    try:
        with np.errstate(all="raise", under="ignore"):
            value = evaluate(expression, values)
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"{shown(to_text(expression), 200)} is no finite number: {error}") from None
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{shown(to_text(expression), 200)} is no finite number")
    return float(value)

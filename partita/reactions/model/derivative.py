"""Derivatives of expressions, as expressions, by the rules in the table of operators.

∂/∂v f(a, b) = f_a ∂a/∂v + f_b ∂b/∂v
"""

import functools

from partita.reactions.model.expression import Call, Expression, Name, Number, is_condition, names, substitute
from partita.reactions.model.formula import parse
from partita.reactions.model.operators import MANY, OPERATORS

ZERO, ONE = Number(0), Number(1)
_ARGUMENTS = ("x", "y", "z")


def derivative(expression: Expression, name: str) -> Expression:
    """Return the derivative of an expression in one of its names.

    Where there is none, at the corner of `abs`, `min` or `max`, it is that of one side; that of `floor` and
    `ceil` is 0. What jumps at a condition has the derivative of the side that holds.

    Raises:
        ValueError: if the result is too deep or too large.

    Example:
        >>> from partita.reactions.model.expression import to_text
        >>> to_text(derivative(parse("k * x ** 2 / (1 + x)"), "x"))
        'k * 2 * x / (1 + x) - k * x ** 2 / (1 + x) ** 2'
    """
    if isinstance(expression, Name):
        return ONE if expression.name == name else ZERO
    if isinstance(expression, Number) or name not in names(expression):
        return ZERO
    arguments = expression.arguments
    if OPERATORS[expression.operator].arity[1] == MANY:
        # two at a time, halves first, so that the result is not as deep as a sum is long
        while len(arguments) > 2:
            middle = len(arguments) // 2
            halves = (arguments[:middle], arguments[middle:])
            arguments = tuple(
                half[0] if len(half) == 1 else Call(expression.operator, half) for half in halves
            )
    return _by_rule(expression.operator, arguments, name)


def _by_rule(symbol: str, arguments: tuple[Expression, ...], name: str) -> Expression:
    given = dict(zip(_ARGUMENTS, arguments, strict=False))
    given |= {
        f"d{letter}": ZERO if is_condition(tree) else derivative(tree, name) for letter, tree in given.items()
    }
    # a number in the rule
    given |= {letter: Call("if", (tree, ONE, ZERO)) for letter, tree in given.items() if is_condition(tree)}
    return simpler(substitute(_rule(symbol), given))


@functools.cache
def _rule(symbol: str) -> Expression:
    return parse(OPERATORS[symbol].derivative)


def simpler(expression: Expression) -> Expression:  # noqa: C901 - a case for each operator
    """Return the expression without sums with 0, products with 0 or 1, and powers of 1.

    0 times anything is 0.

    Example:
        >>> simpler(parse("0 * log(x) + 1 * y ** (2 - 1)"))
        Name(name='y')
    """
    if not isinstance(expression, Call):
        return expression
    arguments = tuple(simpler(argument) for argument in expression.arguments)
    match expression.operator, arguments:
        case "*", _:
            factors = [factor for argument in arguments for factor in _parts("*", argument) if factor != ONE]
            return ZERO if ZERO in factors else _joined("*", factors, ONE)
        case "+", _:
            return _joined(
                "+", [term for argument in arguments for term in _parts("+", argument) if term != ZERO], ZERO
            )
        case "-", (Number() as first, Number() as second) if first.value >= second.value:
            return Number(first.value - second.value)
        case ("-", (first, Number(value=0))) | ("/" | "**", (first, Number(value=1))):
            return first
        case "-", (Number(value=0), second):
            return simpler(Call("neg", (second,)))
        case ("/", (Number(value=0), _)) | ("neg", (Number(value=0),)):
            return ZERO
        case "neg", (Call(operator="neg", arguments=(inner,)),):
            return inner
        case "**", (_, Number(value=0)):
            return ONE
        case "!=", (
            Call(operator="if", arguments=(condition, Number(value=1), Number(value=0))),
            Number(value=0),
        ):
            return condition
        case "if", (Call(operator="==", arguments=(Number() as x, Number() as y)), first, second):
            return first if x.value == y.value else second
        case "if", (_, first, second) if first == second:
            return first
    return Call(expression.operator, arguments)


def _parts(symbol: str, expression: Expression) -> tuple[Expression, ...]:
    return (
        expression.arguments
        if isinstance(expression, Call) and expression.operator == symbol
        else (expression,)
    )


def _joined(symbol: str, parts: list[Expression], empty: Expression) -> Expression:
    return Call(symbol, tuple(parts)) if len(parts) > 1 else parts[0] if parts else empty

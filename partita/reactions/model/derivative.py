"""Derivatives of expressions, as expressions, by the rules in the table of operators.

∂/∂v f(a, b) = f_a ∂a/∂v + f_b ∂b/∂v
"""

import functools

from partita.reactions.model.expression import Call, Expression, Name, Number, is_condition, names, substitute
from partita.reactions.model.formula import parse
from partita.reactions.model.operators import MANY, OPERATORS
from partita.reactions.model.simplification import ONE, ZERO, joined, simpler

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
    if OPERATORS[expression.operator].arity[1] == MANY and len(arguments) > 2:
        # two halves, so that the result is not as deep as a sum is long
        middle = len(arguments) // 2
        halves = (arguments[:middle], arguments[middle:])
        arguments = tuple(joined(expression.operator, half, ZERO) for half in halves)
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

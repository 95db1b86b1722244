"""Simplification of expressions that were put together from parts: formulas of files, and derivatives.

1 * (k * X)  →  k * X,        0 * log(x) + y ** 1  →  y
"""

from collections.abc import Iterable, Sequence

from partita.reactions.model.expression import Call, Expression, Number

ZERO, ONE = Number(0), Number(1)


def operands(symbol: str, expression: Expression) -> tuple[Expression, ...]:
    """Return the arguments of an expression if it applies this operator, and else the expression alone.

    Example:
        >>> operands("*", Number(2))
        (Number(value=2.0),)
    """
    if isinstance(expression, Call) and expression.operator == symbol:
        return expression.arguments
    return (expression,)


def joined(symbol: str, parts: Sequence[Expression], empty: Expression) -> Expression:
    """Return an operator applied to any number of parts: one part alone is itself, and no part is `empty`.

    Example:
        >>> joined("+", [Number(2)], empty=ZERO)
        Number(value=2.0)
    """
    return Call(symbol, tuple(parts)) if len(parts) > 1 else parts[0] if parts else empty


def flattened(symbol: str, arguments: Iterable[Expression], neutral: Expression) -> Expression:
    """Return a sum of sums, or a product of products, as one, without its neutral element.

    Example:
        >>> flattened("*", [ONE, Call("*", (Number(2), Number(3)))], neutral=ONE)
        Call(operator='*', arguments=(Number(value=2.0), Number(value=3.0)))
    """
    parts = [part for argument in arguments for part in operands(symbol, argument) if part != neutral]
    return joined(symbol, parts, neutral)


def tidy(expression: Expression) -> Expression:
    """Return the expression without factors and divisors of 1, and with products of products as one.

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> tidy(parse("1 * (k * X)"))
        Call(operator='*', arguments=(Name(name='k'), Name(name='X')))
    """
    if not isinstance(expression, Call):
        return expression
    arguments = tuple(map(tidy, expression.arguments))
    if expression.operator == "*":
        return flattened("*", arguments, ONE)
    if expression.operator == "/" and arguments[1] == ONE:
        return arguments[0]
    return Call(expression.operator, arguments)


def simpler(expression: Expression) -> Expression:  # noqa: C901 - a case for each operator
    """Return the expression without sums with 0, products with 0 or 1, and powers of 1.

    0 times anything is 0.

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> simpler(parse("0 * log(x) + 1 * y ** (2 - 1)"))
        Name(name='y')
    """
    if not isinstance(expression, Call):
        return expression
    arguments = tuple(map(simpler, expression.arguments))
    match expression.operator, arguments:
        case "*", _:
            product = flattened("*", arguments, ONE)
            return ZERO if ZERO in operands("*", product) else product
        case "+", _:
            return flattened("+", arguments, ZERO)
        case "-", (Number(x), Number(y)) if x >= y:
            return Number(x - y)
        case ("-", (first, Number(0))) | ("/" | "**", (first, Number(1))):
            return first
        case "-", (Number(0), second):
            return simpler(Call("neg", (second,)))
        case ("/", (Number(0), _)) | ("neg", (Number(0),)):
            return ZERO
        case "neg", (Call("neg", (inner,)),):
            return inner
        case "**", (_, Number(0)):
            return ONE
        case "!=", (Call("if", (condition, Number(1), Number(0))), Number(0)):
            return condition
        case "if", (Call("==", (Number(x), Number(y))), first, second):
            return first if x == y else second
        case "if", (_, first, second) if first == second:
            return first
    return Call(expression.operator, arguments)

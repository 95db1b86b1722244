"""Propensities that would take what is not there are made negative, so that every kernel stops at them.

    a(n)   →   a(n) where all n_i ≥ s_i,   −|a(n)| elsewhere

A law of mass action is 0 there by itself, and so is any law of which that can be read off; only the others
are changed.
"""

from collections.abc import Mapping

from partita.reactions.model.expression import Call, Expression, Name, Number


def guarded(law: Expression, change: Mapping[str, int]) -> Expression:
    """Return the propensity of a reaction, negative where a count would fall below 0.

    `change` is what the reaction adds to the counts.

    Raises:
        ValueError: if the result is too large or too deep.

    Example:
        >>> from partita.reactions.model.expression import to_text
        >>> to_text(guarded(Name("k"), {"A": -2, "B": 1}))
        'if(A >= 2, k, -abs(k))'
        >>> to_text(guarded(Call("*", (Name("k"), Name("A"))), {"A": -1}))
        'k * A'
    """
    taken = {name: -difference for name, difference in change.items() if difference < 0}
    enough = [
        Call(">=", (Name(name), Number(count)))
        for name, count in taken.items()
        if not all(_vanishes(law, name, n) for n in range(count))
    ]
    if not enough:
        return law
    condition = enough[0] if len(enough) == 1 else Call("and", tuple(enough))
    return Call("if", (condition, law, Call("neg", (Call("abs", (law,)),))))


def _vanishes(law: Expression, name: str, count: int) -> bool:
    """Whether the law is plainly 0 where there are `count` of a species, whatever else there is."""
    if isinstance(law, Number):
        return law.value == 0
    if isinstance(law, Name):
        return law.name == name and count == 0
    zero = [_vanishes(argument, name, count) for argument in law.arguments]
    match law.operator:
        case "*":
            return any(zero)
        case "+":
            return all(zero)
        case "-":
            return all(zero) or law.arguments == (Name(name), Number(count))
        case "/" | "mm" | "neg" | "abs" | "sqrt":
            return zero[0]
        case "**" | "hill":
            power = law.arguments[-1]
            return zero[0] and isinstance(power, Number) and power.value > 0
        case "if":
            return zero[1] and zero[2]
    return False

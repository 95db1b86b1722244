"""Mass action, recognised in the rate law of a file."""

import math

from partita.reactions.model.expression import Call, Expression, Name, Number
from partita.reactions.model.reaction import MOLECULARITY_LIMIT, Reaction
from partita.reactions.model.simplification import ONE, joined, operands, tidy
from partita.reactions.model.system import falling


def mass_action_constant(reaction: Reaction) -> Expression | None:
    """Return k of a law k · Π C(n, s), written as mass action writes it; None of any other.

    Example:
        >>> from partita.reactions.model.expression import to_text
        >>> from partita.reactions.model.formula import parse
        >>> law = parse("k * A * (A - 1) / 2")
        >>> to_text(mass_action_constant(Reaction([("A", 2)], [], law, mass_action=False)))
        'k'
    """
    counts = (count for _, count in reaction.reactants if count <= MOLECULARITY_LIMIT)
    orders = math.prod(map(math.factorial, counts))
    rate = reaction.rate
    if orders > 1:
        if not (isinstance(rate, Call) and rate.operator == "/" and rate.arguments[1] == Number(orders)):
            return None
        rate = rate.arguments[0]
    factors = [*operands("*", rate)]
    for name, count in reaction.reactants:
        for factor in falling(Name(name), count):
            if factor not in factors:
                return None
            factors.remove(factor)
    return tidy(joined("*", factors, ONE))

"""Random expressions and networks, for properties that hold of all of them."""

from hypothesis import strategies as st

from partita.reactions import Event, Network, Reaction
from partita.reactions.model.expression import Call, Name, Number
from partita.reactions.model.operators import OPERATORS

SPECIES = ("A", "B", "Ca2", "δ")
PARAMETERS = ("k", "k_off", "x1")
NUMBERS = st.one_of(st.integers(0, 20).map(float), st.floats(0, 1e300, allow_subnormal=True)).map(
    lambda value: Number(abs(value))
)
CALLS = {
    gives: sorted(name for name, row in OPERATORS.items() if row.gives == gives) for gives in (False, True)
}


@st.composite
def expressions(draw, names, condition=False, depth=3):
    """A tree of the kind that is wanted, of any operators."""
    if not condition and (depth == 0 or draw(st.booleans())):
        return draw(st.one_of(NUMBERS, st.sampled_from(names).map(Name)) if names else NUMBERS)
    choices = CALLS[condition] if depth else ["<", ">="]
    row = OPERATORS[symbol := draw(st.sampled_from(choices))]
    low, high = row.arity
    count = draw(st.integers(low, min(high, 4)))
    kinds = [row.wants[min(i, len(row.wants) - 1)] for i in range(count)]
    return Call(symbol, tuple(draw(expressions(names, kind, max(depth - 1, 0))) for kind in kinds))


@st.composite
def networks(draw):
    """A network with everything in it that text can say."""
    species = draw(st.permutations(SPECIES))[: draw(st.integers(1, 4))]
    parameters = PARAMETERS[: draw(st.integers(0, 3))]
    free = [*species, *parameters, "t"]
    ruled = draw(st.sampled_from([None, *species]))
    moving = [name for name in species if name != ruled]
    rules = {} if ruled is None else {ruled: draw(expressions([name for name in free if name != ruled]))}
    if draw(st.booleans()):
        rules["total"] = draw(expressions(free))
        free.append("total")
    sides = st.dictionaries(st.sampled_from(moving), st.integers(1, 3), max_size=3) if moving else st.just({})
    reactions = []
    for i in range(draw(st.integers(0, 4))):
        mass_action = draw(st.booleans())
        rate = draw(expressions([*parameters, "t"] if mass_action else free))
        reactions.append(
            Reaction(draw(sides), draw(sides), rate, mass_action, draw(st.sampled_from(["", f"r{i}"])))
        )
    events = []
    for i in range(draw(st.integers(0, 2))) if moving else ():
        targets = draw(st.lists(st.sampled_from([*moving, *parameters]), min_size=1, unique=True))
        priority = draw(st.none() | expressions(free))
        assignments = {target: draw(expressions(free)) for target in targets}
        events.append(
            Event(
                draw(expressions(free, True)),
                assignments,
                draw(st.sampled_from(["", f"e{i}"])),
                priority,
                draw(st.booleans()),
            )
        )
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    return Network(
        tuple(species),
        tuple(reactions),
        {name: draw(numbers) for name in parameters},
        {name: draw(st.integers(0, 2**53)) for name in moving if draw(st.booleans())},
        tuple(events),
        rules,
        frozenset(draw(st.sets(st.sampled_from(species)))),
        draw(st.sampled_from(["combinations", "permutations"])),
    )

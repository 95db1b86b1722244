"""Source of what lets the events of a network happen, in the kernels that are compiled for it."""

from collections.abc import Callable, Iterator

from partita.reactions.kernels.layout import Plan, Trigger
from partita.reactions.kernels.source import INNER, indented
from partita.reactions.kernels.state import BAD_EVENT, COUNT_LIMIT
from partita.reactions.model.expression import TIME, source

EVENT_ROUNDS = 1000  # events that set one another off so often at one moment never end


def settling(plan: Plan) -> list[str]:
    """Return lines that let events happen where a condition has turned.

    They then end the loop so that the counts are looked at again.
    """
    if not plan.triggers:
        return []
    slots = range(len(plan.slots))
    return [
        f"if {_turned(plan)}:",
        *(f"    y[{i}] = x{i}" for i in slots),
        "    fine = settle(t, y, p, w)",
        *(f"    x{i} = y[{i}]" for i in slots),
        "    todo = 0",
        "    if not fine:",
        f"        state = {BAD_EVENT}",
    ]


def settle_source(plan: Plan) -> list[str]:
    """Return the source of `turned` and of `settle`.

    `turned` tells whether a condition has turned; in `settle` all events whose conditions have turned
    true happen, one by one. Numbers stand in arrays: a compiler takes time and memory for each variable
    at each branch.
    """
    constants = {name: f"p[{i}]" for i, (name, _) in enumerate(plan.constants)} | {TIME: "t"}
    in_locals = (constants | {name: f"x{i}" for name, i in plan.places.items()}).__getitem__
    in_arrays = (constants | {name: f"y[{i}]" for name, i in plan.places.items()}).__getitem__
    compare, look, rank, happen = list[str](), list[str](), list[str](), list[str]()
    for i, trigger in enumerate(plan.triggers):
        compare += [f"if ({source(trigger.condition, in_locals)}) != w[{i}]: return True"]
        look += [
            f"now = {source(trigger.condition, in_arrays)}",
            f"if now and not w[{i}]: q[{i}] = True",
            f"w[{i}] = now",
        ]
        priority = f"np.float64({source(trigger.priority, in_arrays)})" if trigger.priority else "-np.inf"
        rank += [
            f"if q[{i}]:",
            f"    rank = {priority}",
            "    if which < 0 or rank > best:",
            f"        which = {i}; best = rank",
        ]
        happen += [f"if which == {i}:", *indented(_assigning(plan, trigger, in_arrays), 1)]
    rounds = [
        "pending = False",
        *look,
        "for i in range(q.size):",
        "    pending = pending or q[i]",
        "if not pending:",
        "    return fine",
        "which = -1",
        "best = -np.inf",
        *rank,
        "q[which] = False",
        *happen,
    ]
    room = max(len(trigger.assignments) for trigger in plan.triggers)
    return [
        INNER,
        f"def {_turned(plan)}:",
        *indented([*compare, "return False"], 1),
        "",
        "",
        INNER,
        "def settle(t, y, p, w):",
        f"    q = np.zeros({len(plan.triggers)}, np.bool_)",
        f"    v = np.empty({room})",
        "    fine = True",
        f"    for _ in range({EVENT_ROUNDS}):",
        *indented(rounds, 2),
        "    return False",
        "",
        "",
    ]


def _turned(plan: Plan) -> str:
    return f"turned({', '.join(['t', *(f'x{i}' for i in range(len(plan.slots))), 'p', 'w'])})"


def _assigning(plan: Plan, trigger: Trigger, rename: Callable[[str], str]) -> Iterator[str]:
    """Lines that set what an event sets; a value that several slots take is computed once."""
    places: dict[str, int] = {}
    for _, value in trigger.assignments:
        text = source(value, rename)
        if text not in places:
            places[text] = len(places)
            yield f"v[{places[text]}] = np.float64({text})"
    for slot, value in trigger.assignments:
        new = f"v[{places[source(value, rename)]}]"
        is_count = f"0.0 <= {new} <= {COUNT_LIMIT} and {new} == np.floor({new})"
        yield f"fine = fine and {is_count if slot < plan.num_counts else f'np.isfinite({new})'}"
        yield f"y[{slot}] = {new}"

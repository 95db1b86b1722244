"""A network as tables, which kernels read that nothing is compiled for."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from partita.reactions.kernels.layout import Numbers, Plan
from partita.reactions.kernels.machine import numbers_of, range_words, words
from partita.reactions.kernels.state import Log
from partita.reactions.model.expression import TIME, Expression, names


class Programs(NamedTuple):
    """Expressions for the stack machine, one after another: number i is `words[begin[i] : begin[i + 1]]`."""

    words: np.ndarray
    begin: np.ndarray


class Tables(NamedTuple):
    """A network as arrays, flat lists with the place where each reaction's entries begin.

    A law of mass action up to second order is k x_i (x_j − h), where the slot after the last is always 1.
    Others are programs.
    """

    rate: np.ndarray  # k; NaN where a program is to be run
    first: np.ndarray  # i
    second: np.ndarray  # j
    less: np.ndarray  # h
    programs: Programs  # of laws
    constants: np.ndarray  # of all programs
    changed: np.ndarray
    change: np.ndarray
    change_begin: np.ndarray
    touched: np.ndarray  # reactions whose propensity an event of this one changes
    touched_begin: np.ndarray
    largest_change: float
    num_counts: int


class Everything(NamedTuple):
    """The tables of a network, its events among them, and room for a log: empty where none is written."""

    network: Tables
    follows_time: np.ndarray  # (reaction,) bool: whether a propensity changes between two stops
    is_moving: bool  # whether any does
    ranges: Programs  # of laws that follow the time, no words for others
    conditions: Programs
    priorities: Programs  # of no words where an event has none
    values: Programs  # of all assignments, those of an event side by side
    targets: np.ndarray  # their slots
    target_begin: np.ndarray  # (event + 1,)
    watchers: np.ndarray  # events whose condition a reaction may turn
    watcher_begin: np.ndarray  # (reaction + 1,)
    log: Log


def network_tables(plan: Plan, given: Numbers, constants: dict[str, int] | None = None) -> Tables:
    """Return the network as arrays, with the numbers of one call in them.

    Args:
        plan: The network.
        given: The numbers.
        constants: The constants that other programs use; see `machine.words`.
    """
    slots = {name: i for i, name in enumerate(plan.slots)}
    one = len(slots)
    rate = np.full(len(plan.laws), np.nan)
    first, second, less = (
        np.full(len(rate), one, np.int32),
        np.full(len(rate), one, np.int32),
        np.zeros(len(rate)),
    )
    others: list[Expression | None] = []
    readers: dict[int, list[int]] = {}
    for r, (reaction, law) in enumerate(zip(plan.network.reactions, plan.laws, strict=True)):
        for name in names(law) & slots.keys():
            readers.setdefault(slots[name], []).append(r)
        molecules = [name for name, count in reaction.reactants for _ in range(count)]
        constant = plan.rates[r]
        others.append(law)
        if constant is not None and len(molecules) <= 2 and slots.keys() >= {*molecules}:
            others[r] = None
            rate[r] = given.constants[constant]
            for place, name in zip((first, second), molecules, strict=False):
                place[r] = slots[name]
            if len(molecules) == 2 and molecules[0] == molecules[1]:
                less[r] = 1
                rate[r] /= 2 if plan.network.convention == "combinations" else 1
    constants = {} if constants is None else constants
    laws = programs(plan, given, others, constants)
    changed, change, change_begin = _flat([list(change.items()) for change in plan.changes])
    affected = [sorted({r for slot in change for r in readers.get(slot, ())}) for change in plan.changes]
    touched, _, touched_begin = _flat([[(r, 0) for r in row] for row in affected])
    return Tables(
        rate,
        first,
        second,
        less,
        laws,
        numbers_of(constants),
        changed,
        change,
        change_begin,
        touched,
        touched_begin,
        float(plan.largest_change),
        plan.num_counts,
    )


def programs(
    plan: Plan,
    given: Numbers,
    expressions: Iterable[Expression | None],
    constants: dict[str, int],
    write: Callable = words,
) -> Programs:
    """Return the programs of expressions over slots and the time; None becomes an empty one.

    The slot of the time is the second after the last.

    Args:
        plan: The network.
        given: The numbers of this call.
        expressions: What is to be computed.
        constants: Takes the numbers that are met.
        write: `words`, or `range_words`.
    """
    slots = {name: i for i, name in enumerate(plan.slots)} | {TIME: len(plan.slots) + 1}
    values = dict(zip((name for name, _ in plan.constants), given.constants, strict=True))
    rows = [
        [] if expression is None else write(expression, slots, values, constants)
        for expression in expressions
    ]
    return Programs(
        np.array([word for row in rows for word in row], np.int64), np.cumsum([0, *map(len, rows)])
    )


def everything(plan: Plan, given: Numbers, log: Log | None = None) -> Everything:
    """Return the tables that the kernel reads.

    Args:
        plan: The network.
        given: The numbers of this call.
        log: Room for the events to be written down.
    """
    constants: dict[str, int] = {}
    triggers = plan.triggers
    conditions = programs(plan, given, [trigger.condition for trigger in triggers], constants)
    priorities = programs(plan, given, [trigger.priority for trigger in triggers], constants)
    values = programs(
        plan, given, [value for trigger in triggers for _, value in trigger.assignments], constants
    )
    follows_time = [plan.smooth and TIME in names(law) for law in plan.laws]
    moving = [law if follows else None for law, follows in zip(plan.laws, follows_time, strict=True)]
    ranges = programs(plan, given, moving, constants, range_words)
    network = network_tables(plan, given, constants)
    reads = [names(trigger.condition) for trigger in triggers]
    watchers = [
        [e for e, read in enumerate(reads) if any(plan.slots[slot] in read for slot in change)]
        for change in plan.changes
    ]
    return Everything(
        network,
        np.array(follows_time, bool),
        any(follows_time),
        ranges,
        conditions,
        priorities,
        values,
        np.array([slot for trigger in triggers for slot, _ in trigger.assignments], np.int64),
        np.cumsum([0, *(len(trigger.assignments) for trigger in triggers)]),
        np.array([e for row in watchers for e in row], np.int64),
        np.cumsum([0, *map(len, watchers)]),
        log or Log(np.empty(0), np.empty(0, np.int64), np.empty((0, len(plan.slots)))),
    )


def _flat(rows: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pairs = np.array([pair for row in rows for pair in row], np.int64).reshape(-1, 2)
    return pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.float64), np.cumsum([0, *map(len, rows)])

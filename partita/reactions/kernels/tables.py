"""A network as tables, which kernels read that nothing is compiled for."""

from collections.abc import Callable, Collection, Iterable, Sequence
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
    slots, others = plan.places, list[Expression | None](plan.laws)
    rate, less = np.full(len(others), np.nan), np.zeros(len(others))
    first, second = np.full((2, len(others)), len(slots), np.int32)
    for r, (reaction, constant) in enumerate(zip(plan.network.reactions, plan.rates, strict=True)):
        molecules = [name for name, count in reaction.reactants for _ in range(count)]
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
    changed, _ = _flat(plan.changes, np.int32)
    return Tables(
        rate,
        first,
        second,
        less,
        laws,
        numbers_of(constants),
        changed,
        *_flat([change.values() for change in plan.changes], np.float64),
        *_flat(plan.affected, np.int32),
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
    slots = plan.places | {TIME: len(plan.slots) + 1}
    values = dict(zip((name for name, _ in plan.constants), given.constants, strict=True))
    rows = [[] if it is None else write(it, slots, values, constants) for it in expressions]
    return Programs(*_flat(rows, np.int64))


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
    assigned = [value for trigger in triggers for _, value in trigger.assignments]
    values = programs(plan, given, assigned, constants)
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
        *_flat([[slot for slot, _ in trigger.assignments] for trigger in triggers], np.int64),
        *_flat(watchers, np.int64),
        log or Log(np.empty(0), np.empty(0, np.int64), np.empty((0, len(plan.slots)))),
    )


def _flat(rows: Sequence[Collection[int]], kind: type) -> tuple[np.ndarray, np.ndarray]:
    """The entries of all rows, and where those of each row begin."""
    return np.array([entry for row in rows for entry in row], kind), np.cumsum([0, *map(len, rows)])

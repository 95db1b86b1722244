"""Events of a network that runs from tables.

settle(armed, tables, work) → whether it came to a good end,
turned(reaction, armed, tables, work) → whether to settle after it

Conditions that turn true set slots, the one of highest priority first.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import njit

from partita.reactions.kernels.settling import EVENT_ROUNDS
from partita.reactions.kernels.state import COUNT_LIMIT

_inner = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@functools.cache
def settling(value_of: Callable) -> tuple[Callable, Callable]:  # noqa: C901 - functions that Numba compiles together
    """Return the functions that let events happen, and that tell whether a reaction has turned a condition.

    Args:
        value_of: The stack machine.
    """

    @_inner
    def holds(e, tables, work):
        words, begin = tables.conditions
        return value_of(words, begin[e], begin[e + 1], tables.network.constants, work.y, work.stack) != 0.0

    @_inner
    def rank_of(e, tables, work):
        words, begin = tables.priorities
        if begin[e] == begin[e + 1]:
            return -np.inf
        return value_of(words, begin[e], begin[e + 1], tables.network.constants, work.y, work.stack)

    @_inner
    def assign(e, tables, work):
        """Set what an event sets; whether the state is one."""
        (words, begin), y, targets = tables.values, work.y, tables.targets
        places = range(tables.target_begin[e], tables.target_begin[e + 1])
        for place in places:
            work.new[place] = value_of(
                words, begin[place], begin[place + 1], tables.network.constants, y, work.stack
            )
        fine = True
        for place in places:
            value = work.new[place]
            if targets[place] < tables.network.num_counts:
                fine = fine and 0.0 <= value <= COUNT_LIMIT and value == np.floor(value)
            else:
                fine = fine and -np.inf < value < np.inf
            y[targets[place]] = value
        return fine

    @_inner
    def settle(armed, tables, work):
        """Let all events happen whose conditions have turned true, one by one.

        Returns:
            Whether that came to a good end.
        """
        work.due[:] = False
        fine = True
        for _ in range(EVENT_ROUNDS):
            which, best = -1, -np.inf
            for e in range(armed.size):
                now = holds(e, tables, work)
                if now and not armed[e]:
                    work.due[e] = True
                armed[e] = now
            for e in range(armed.size):
                if work.due[e]:
                    rank = rank_of(e, tables, work)
                    if which < 0 or rank > best:
                        which, best = e, rank
            if which < 0:
                return fine
            work.due[which] = False
            fine = assign(which, tables, work) and fine
        return False

    @_inner
    def turned(r, armed, tables, work):
        for place in range(tables.watcher_begin[r], tables.watcher_begin[r + 1]):
            if holds(tables.watchers[place], tables, work) != armed[tables.watchers[place]]:
                return True
        return False

    return settle, turned

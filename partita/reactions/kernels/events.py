"""Events of a network that runs from tables.

settle(armed, tables, work) → whether it came to a good end,
turned(reaction, armed, tables, work) → whether to settle after it

Conditions that turn true set slots, the one of highest priority first.
"""

import numpy as np

from partita.reactions.kernels.calling import inlined, inner
from partita.reactions.kernels.running import value_of
from partita.reactions.kernels.settling import EVENT_ROUNDS
from partita.reactions.kernels.state import COUNT_LIMIT, NONE


@inlined
def _holds(e, tables, work):
    return value_of(e, tables.conditions, tables.network.constants, work) != 0.0


@inner
def _rank_of(e, tables, work):
    begin = tables.priorities.begin
    if begin[e] == begin[e + 1]:
        return -np.inf
    return value_of(e, tables.priorities, tables.network.constants, work)


@inner
def _assign(e, tables, work):
    """Set what an event sets; whether the state is one."""
    y, targets = work.y, tables.targets
    places = range(tables.target_begin[e], tables.target_begin[e + 1])
    for place in places:
        work.new[place] = value_of(place, tables.values, tables.network.constants, work)
    fine = True
    for place in places:
        value = work.new[place]
        if targets[place] < tables.network.num_counts:
            fine = fine and 0.0 <= value <= COUNT_LIMIT and value == np.floor(value)
        else:
            fine = fine and -np.inf < value < np.inf
        y[targets[place]] = value
    return fine


@inner
def settle(armed, tables, work):
    """Let all events happen whose conditions have turned true, one by one.

    Returns:
        Whether that came to a good end.
    """
    fine = True
    for e in range(work.due.size):
        work.due[e] = False
    for _ in range(EVENT_ROUNDS):
        which, best = NONE, -np.inf
        for e in range(armed.size):
            now = _holds(e, tables, work)
            if now and not armed[e]:
                work.due[e] = True
            armed[e] = now
        for e in range(armed.size):
            if work.due[e]:
                rank = _rank_of(e, tables, work)
                if which < 0 or rank > best:
                    which, best = e, rank
        if which < 0:
            return fine
        work.due[which] = False
        fine = _assign(which, tables, work) and fine
    return False


@inlined
def turned(r, armed, tables, work):
    """Return whether a reaction has turned a condition."""
    for place in range(tables.watcher_begin[r], tables.watcher_begin[r + 1]):
        if _holds(tables.watchers[place], tables, work) != armed[tables.watchers[place]]:
            return True
    return False

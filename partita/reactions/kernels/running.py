"""The loop of the kernels that run from tables, and what they all do.

queue → a trajectory → its rows, until the budget is spent
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from partita.kernels import keep
from partita.reactions.kernels.calling import apart, inlined, inner
from partita.reactions.kernels.machine import machine
from partita.reactions.kernels.state import BAD_PROPENSITY, COUNT_LIMIT, FINISHED, RUNNING
from partita.reactions.kernels.streams import advance, fetch_add

_run = machine()


def kernel_of(prepare: Callable, trajectory: Callable, bound_of: Callable | None = None) -> Callable:
    """Return the kernel that runs trajectories one at a time; see `state`.

    Args:
        prepare: `(rows, laws)` → what it computes with, made once a call.
        trajectory: `(i, queue, rows, shared, laws, work, budget, bound_of)` → the work that was done. It
            runs a trajectory until it ends or about `budget` events are done, and leaves it in its rows.
        bound_of: A function for it, if it wants one.
    """

    def run(queue, places, rows, shared, laws, budget):
        """The kernel; see `state`."""
        work = prepare(rows, laws)
        spent = 0
        while spent < budget:
            i = places[0]
            if i < 0:
                i = fetch_add(queue, 1)
                if i >= rows.status.size:
                    return False
                if rows.status[i] != RUNNING:
                    continue
                places[0] = i
            spent += trajectory(i, queue, rows, shared, laws, work, budget - spent, bound_of)
            if rows.status[i] != RUNNING:
                places[0] = -1
        return True

    return keep(njit(nogil=True, error_model="numpy", boundscheck=False, no_cfunc_wrapper=True)(run))


@inlined
def value_of(number, programs, constants, work):
    """Run a program on the state."""
    first, last = programs.begin[number], programs.begin[number + 1]
    return apart(_run, (programs.words, first, last, constants, work.y, work.stack))


@inlined
def law_at(r, network, work):
    """A propensity."""
    value = network.rate[r] * work.y[network.first[r]] * (work.y[network.second[r]] - network.less[r])
    if value != value:
        value = value_of(r, network.programs, network.constants, work)
    return value


@inner
def draw(words):
    """Return the next number of a stream, whose four words go on."""
    r, words[0], words[1], words[2], words[3] = advance(words[0], words[1], words[2], words[3])
    return r


# Element by element: assigning a slice takes the compiler seconds.
@inlined
def take_state(i, rows, work):
    """Copy the state of a trajectory from its row."""
    for slot in range(rows.x.shape[1]):
        work.y[slot] = rows.x[i, slot]


@inlined
def leave_state(i, rows, work):
    """Copy the state of a trajectory to its row."""
    for slot in range(rows.x.shape[1]):
        rows.x[i, slot] = work.y[slot]


@inlined
def record(i, k, until, rows, shared, num_counts, work):
    """Write the state down for all times before `until`; the next of the times."""
    while k < shared.times.size and shared.times[k] < until:
        for slot in range(shared.columns.size):
            column = shared.columns[slot]
            if column >= 0 and slot < num_counts:
                rows.counts[i, column, k] = np.int64(work.y[slot])
            elif column >= 0:
                rows.others[i, column, k] = work.y[slot]
        k += 1
    return k


@inlined
def record_last(i, k, t, rows, shared, num_counts, work):
    """Write down what holds at `t`, after which a law is no propensity; the next time, and the status."""
    k = record(i, k, np.nextafter(t, np.inf), rows, shared, num_counts, work)
    # no matter where nothing is to be recorded any more
    return k, FINISHED if k == shared.times.size else BAD_PROPENSITY


@inlined
def left(network, work):
    """How many events may happen before a count can pass the limit."""
    highest = 0.0
    for slot in range(network.num_counts):
        highest = max(highest, abs(work.y[slot]))
    return np.int64((COUNT_LIMIT - highest) / network.largest_change)

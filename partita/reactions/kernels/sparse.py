"""Composition and rejection: a method for large networks (Slepoy, Thompson, Plimpton 2008).

    group e = { r : 2^e ≤ a_r < 2^(e+1) };
    choose e with probability A_e / Σ A,   then r in it, until v 2^(e+1) < a_r

The cost of an event does not grow with the number of reactions. Only the propensities that an event
changes are computed anew; a dependency graph says which. The kernel reads tables, and has laws that are
not mass action computed by a stack machine, so nothing is compiled for a network.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import njit

from partita.kernels import keep
from partita.reactions.kernels.layout import Plan
from partita.reactions.kernels.machine import STACK, machine
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_PROPENSITY,
    COUNT_LIMIT,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    HALTED,
    INTERRUPTED,
    RUNNING,
)
from partita.reactions.kernels.streams import advance, bits_of, exponential, fetch_add, float_of, uniform

# after so many events the sums of the groups are added up anew: rounding errors do not pile up
RESUM = 1 << 18


def suits(plan: Plan) -> bool:
    """Whether nothing but reactions happens, at rates that do not depend on time."""
    return plan.is_plain and bool(plan.laws)


@njit(inline="always")
def _join(r, value, exponent, row_of, group, position, members, size, weight, bound, rows):  # noqa: PLR0913 - Numba counts the arrays of a tuple at each use
    """Put a reaction into the group of its exponent, a new one if need be; gives the number of groups."""
    g = row_of[exponent]
    if g < 0:
        g = rows
        rows += 1
        row_of[exponent] = g
        size[g] = 0
        weight[g] = 0.0
        bound[g] = float_of((exponent + 1) << 52)
    group[r] = g
    position[r] = size[g]
    members[g, size[g]] = r
    size[g] += 1
    weight[g] += value
    return rows


def kernel() -> Callable:
    """Return the kernel, which takes `Tables` for its laws; see `state`."""
    return _kernel(machine())


@functools.cache
def _kernel(value_of: Callable) -> Callable:  # noqa: C901, PLR0915 - functions that Numba compiles together
    def run(queue, places, rows, shared, tables, budget):  # noqa: C901, PLR0915 - an inner loop in one piece, as above
        """The kernel; see `state`."""
        # Arrays that stand in a tuple are counted at every use; those with a name of their own are not.
        words, x, clock, reached, fired, status, _, _, _, _, counts, _ = rows
        columns, times, _, max_events = shared
        rate, first, second, less, programs, constants = tables[:6]
        changed, change, change_begin, touched, touched_begin, largest_change, num_counts = tables[6:]
        program, program_begin = programs
        num_reactions, num_slots = rate.size, x.shape[1]
        y = np.ones(num_slots + 1)
        stack = np.zeros(STACK)
        a = np.zeros(num_reactions)
        group, position = np.empty(num_reactions, np.int32), np.empty(num_reactions, np.int32)
        room_for = 64
        members = np.empty((room_for, num_reactions), np.int32)
        size, weight, bound = np.zeros(room_for, np.int64), np.zeros(room_for), np.zeros(room_for)
        row_of = np.empty(2048, np.int32)
        spent = 0
        while spent < budget:
            i = places[0]
            if i < 0:
                i = fetch_add(queue, 1)
                if i >= status.size:
                    return False
                if status[i] != RUNNING:
                    continue
                places[0] = i
            y[:num_slots] = x[i]
            t, k, state, start = clock[i], reached[i], RUNNING, fired[i]
            s0, s1, s2, s3 = words[i, 0], words[i, 1], words[i, 2], words[i, 3]
            events = start
            # The sums depend on their history. So that nothing else depends on it, a call ends at multiples
            # of RESUM only.
            boundary = (start // RESUM + 1) * RESUM
            allowed = 64
            while state == RUNNING and events < boundary:
                highest = 0.0
                for s in range(num_counts):
                    highest = max(highest, abs(y[s]))
                room = np.int64((COUNT_LIMIT - highest) / largest_change)
                last = min(boundary, max_events, events + room)
                if events >= last:
                    state = COUNT_TOO_LARGE if room < 1 else EVENT_LIMIT
                    break
                if allowed > room_for:
                    room_for = allowed
                    members = np.empty((room_for, num_reactions), np.int32)
                    size, weight, bound = np.zeros(room_for, np.int64), np.zeros(room_for), np.zeros(room_for)
                row_of[:] = -1
                groups = 0
                crowded = False
                for r in range(num_reactions):
                    value = rate[r] * y[first[r]] * (y[second[r]] - less[r])
                    if value != value:
                        value = value_of(program, program_begin[r], program_begin[r + 1], constants, y, stack)
                    a[r] = value
                    group[r] = -1
                    if not 0.0 <= value < np.inf:
                        state = BAD_PROPENSITY
                    elif value > 0.0:
                        exponent = bits_of(value) >> 52
                        if row_of[exponent] < 0 and groups == allowed:
                            crowded = True
                        else:
                            groups = _join(
                                r,
                                value,
                                exponent,
                                row_of,
                                group,
                                position,
                                members,
                                size,
                                weight,
                                bound,
                                groups,
                            )
                while state == RUNNING and not crowded and events < last:
                    if (events & 255) == 0 and fetch_add(queue, 0) >= HALTED:
                        state = INTERRUPTED
                        break
                    total = 0.0
                    for g in range(groups):
                        total += weight[g]
                    h0, h1, h2, h3 = s0, s1, s2, s3
                    word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                    then = t + exponential(word) / total
                    if not then <= times[k] or not total < np.inf:
                        while k < times.size and times[k] < then:
                            for s in range(num_slots):
                                if columns[s] >= 0:
                                    counts[i, columns[s], k] = np.int64(y[s])
                            k += 1
                        if k == times.size or not total < np.inf:
                            state = (
                                BAD_PROPENSITY
                                if not total < np.inf
                                else (ABSORBED if total == 0.0 else FINISHED)
                            )
                            s0, s1, s2, s3 = h0, h1, h2, h3
                            break
                    t = then
                    word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                    threshold = uniform(word) * total
                    chosen = 0
                    reach = 0.0
                    for g in range(groups):
                        if size[g] > 0:
                            chosen = g
                            reach += weight[g]
                            if threshold < reach:
                                break
                    count, ceiling = np.float64(size[chosen]), bound[chosen]
                    # the whole part of one number picks a reaction, its fraction accepts or rejects it
                    while True:
                        word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                        v = uniform(word) * count
                        r = members[chosen, np.int64(v)]
                        if (v - np.floor(v)) * ceiling < a[r]:
                            break
                    events += 1
                    for place in range(change_begin[r], change_begin[r + 1]):
                        y[changed[place]] += change[place]
                    for place in range(touched_begin[r], touched_begin[r + 1]):
                        d = touched[place]
                        value = rate[d] * y[first[d]] * (y[second[d]] - less[d])
                        if value != value:
                            value = value_of(
                                program, program_begin[d], program_begin[d + 1], constants, y, stack
                            )
                        before, g = a[d], group[d]
                        if not 0.0 <= value < np.inf:
                            state = BAD_PROPENSITY
                            break
                        a[d] = value
                        exponent = bits_of(value) >> 52
                        if value > 0.0 and g >= 0 and row_of[exponent] == g:
                            weight[g] += value - before
                            continue
                        if g >= 0:
                            size[g] -= 1
                            other = members[g, size[g]]
                            members[g, position[d]] = other
                            position[other] = position[d]
                            group[d] = -1
                            weight[g] = weight[g] - before if size[g] > 0 else 0.0
                        if value > 0.0:
                            if row_of[exponent] < 0 and groups == allowed:
                                crowded = True
                                break
                            groups = _join(
                                d,
                                value,
                                exponent,
                                row_of,
                                group,
                                position,
                                members,
                                size,
                                weight,
                                bound,
                                groups,
                            )
                if crowded:
                    allowed *= 2
            if state == BAD_PROPENSITY:  # no matter where nothing is to be recorded any more
                while k < times.size and times[k] <= t:
                    for s in range(num_slots):
                        if columns[s] >= 0:
                            counts[i, columns[s], k] = np.int64(y[s])
                    k += 1
                if k == times.size:
                    state = FINISHED
            x[i] = y[:num_slots]
            spent += events - start + 1 + k - reached[i]
            clock[i], reached[i], fired[i], status[i] = t, k, events, state
            words[i, 0], words[i, 1], words[i, 2], words[i, 3] = s0, s1, s2, s3
            if state != RUNNING:
                places[0] = -1
        return True

    return keep(njit(nogil=True, error_model="numpy", boundscheck=False)(run))

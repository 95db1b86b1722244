"""Composition and rejection: a method for large networks (Slepoy, Thompson, Plimpton 2008).

    group e = { r : 2^e ≤ a_r < 2^(e+1) };
    choose e with probability A_e / Σ A,   then r in it, until v 2^(e+1) < a_r

The cost of an event does not grow with the number of reactions. Only the propensities that an event
changes are computed anew; a dependency graph says which. The kernel reads tables, and has laws that are
not mass action computed by a stack machine, so nothing is compiled for a network.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from partita.reactions.kernels.calling import borrowed, inlined, inner, merged
from partita.reactions.kernels.layout import Plan
from partita.reactions.kernels.machine import STACK
from partita.reactions.kernels.running import (
    kernel_of,
    law_at,
    leave_state,
    left,
    record,
    record_last,
    take_state,
)
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_PROPENSITY,
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


class Work(NamedTuple):
    """What the kernel computes with: the state, and the reactions by the exponents of their propensities."""

    y: np.ndarray  # (slot + 1,): the state, and 1
    stack: np.ndarray
    a: np.ndarray  # (reaction,): the propensities
    group: np.ndarray  # (reaction,) int32: −1 where the propensity is 0
    position: np.ndarray  # (reaction,) int32: the place in the group
    members: np.ndarray  # (group, reaction) int32
    size: np.ndarray  # (group,) int64
    weight: np.ndarray  # (group,): the sum of the propensities
    bound: np.ndarray  # (group,): what all propensities are below
    row_of: np.ndarray  # (exponent,) int32: the group of an exponent, −1 for none


@inner
def _work(num_slots, num_reactions, num_groups):
    return Work(
        np.ones(num_slots + 1),
        np.zeros(STACK),
        np.zeros(num_reactions),
        np.empty(num_reactions, np.int32),
        np.empty(num_reactions, np.int32),
        np.empty((num_groups, num_reactions), np.int32),
        np.zeros(num_groups, np.int64),
        np.zeros(num_groups),
        np.zeros(num_groups),
        np.empty(2048, np.int32),
    )


@inner
def _prepare(rows, network):
    return _work(rows.x.shape[1], network.rate.size, np.int64(64))


@inlined
def _choose(total, num_groups, work, s0, s1, s2, s3):
    """A reaction, and the stream after it."""
    size, weight, members, a = work.size, work.weight, work.members, work.a
    word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
    threshold = uniform(word) * total
    chosen = 0
    reach = 0.0
    for g in range(num_groups):
        if size[g] > 0:
            chosen = g
            reach += weight[g]
            if threshold < reach:
                break
    count, ceiling = np.float64(size[chosen]), work.bound[chosen]
    # the whole part of one number picks a reaction, its fraction accepts or rejects it
    while True:
        word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
        v = uniform(word) * count
        r = np.int64(members[chosen, np.int64(v)])
        if (v - np.floor(v)) * ceiling < a[r]:
            return r, s0, s1, s2, s3


@inlined
def _stays(r, value, work):
    """Set a propensity; whether its reaction stays in its group."""
    before, g = work.a[r], np.int64(work.group[r])
    if value > 0.0 and g >= 0 and work.row_of[bits_of(value) >> 52] == g:
        work.a[r] = value
        work.weight[g] += value - before
        return True
    return False


@inlined
def _move(r, value, num_groups, work):
    """Set a propensity, and put its reaction into the group of its exponent.

    Returns:
        The number of groups; −1 where there is no room for one more.
    """
    a, group, position, members, size, weight = work[2:8]
    row_of = work.row_of
    before, g, exponent = a[r], np.int64(group[r]), bits_of(value) >> 52
    a[r] = value
    if g >= 0:
        size[g] -= 1
        other = members[g, size[g]]
        members[g, position[r]] = other
        position[other] = position[r]
        group[r] = -1
        weight[g] = weight[g] - before if size[g] > 0 else 0.0
    if value > 0.0:
        g = np.int64(row_of[exponent])
        if g < 0:
            if num_groups == size.size:
                return np.int64(-1)
            g = num_groups
            num_groups += 1
            row_of[exponent] = g
            size[g] = 0
            weight[g] = 0.0
            work.bound[g] = float_of((exponent + 1) << 52)
        group[r] = g
        position[r] = size[g]
        members[g, size[g]] = r
        size[g] += 1
        weight[g] += value
    return num_groups


@inlined
def _compute(network, work):
    """Compute all propensities; the number of groups, −1 where there is no room, and the status."""
    for exponent in range(work.row_of.size):
        work.row_of[exponent] = -1
    for r in range(work.group.size):
        work.group[r] = -1
    num_groups = np.int64(0)  # of one type with what follows, so that nothing is compiled twice
    for r in range(network.rate.size):
        value = law_at(r, network, work)
        if not 0.0 <= value < np.inf:
            return num_groups, BAD_PROPENSITY
        num_groups = _move(r, value, num_groups, work)
        if num_groups < 0:
            break
    return num_groups, RUNNING


@inlined
def _happen(r, num_groups, network, work):
    """Let a reaction happen; the number of groups, −1 where there is no room, and the status."""
    y, (changed, change, change_begin, touched, touched_begin) = work.y, network[6:11]
    for place in range(change_begin[r], change_begin[r + 1]):
        y[changed[place]] += change[place]
    for place in range(touched_begin[r], touched_begin[r + 1]):
        other = np.int64(touched[place])
        value = law_at(other, network, work)
        if not 0.0 <= value < np.inf:
            return num_groups, BAD_PROPENSITY
        if not _stays(other, value, work):
            num_groups = _move(other, value, num_groups, work)
            if num_groups < 0:
                break
    return num_groups, RUNNING


@merged
def _stretch(i, boundary, queue, rows, shared, network, work):
    """Run trajectory i until it ends, the sums are to be added up anew, or there are too many groups.

    Returns:
        Whether there is room for all groups.
    """
    rows, shared, network, work = borrowed((rows, shared, network, work))
    s0, s1, s2, s3 = rows.words[i, 0], rows.words[i, 1], rows.words[i, 2], rows.words[i, 3]
    take_state(i, rows, work)
    t, k, events = rows.clock[i], rows.reached[i], rows.fired[i]
    room = left(network, work)
    last = min(boundary, shared.max_events, events + room)
    if events >= last:
        rows.status[i] = COUNT_TOO_LARGE if room < 1 else EVENT_LIMIT
        return True
    num_groups, state = _compute(network, work)
    while state == RUNNING and num_groups >= 0 and events < last:
        if (events & 255) == 0 and fetch_add(queue, 0) >= HALTED:
            state = INTERRUPTED
            break
        total = 0.0
        for g in range(num_groups):
            total += work.weight[g]
        h0, h1, h2, h3 = s0, s1, s2, s3
        word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
        then = t + exponential(word) / total
        if not then <= shared.times[k] or not total < np.inf:
            k = record(i, k, then, rows, shared, network.num_counts, work)
            if k == shared.times.size or not total < np.inf:
                state = FINISHED if total > 0.0 else ABSORBED
                state = state if total < np.inf else BAD_PROPENSITY
                s0, s1, s2, s3 = h0, h1, h2, h3
                break
        t = then
        r, s0, s1, s2, s3 = _choose(total, num_groups, work, s0, s1, s2, s3)
        events += 1
        num_groups, state = _happen(r, num_groups, network, work)
    if state == BAD_PROPENSITY:
        k, state = record_last(i, k, t, rows, shared, network.num_counts, work)
    leave_state(i, rows, work)
    rows.clock[i], rows.reached[i], rows.fired[i], rows.status[i] = t, k, events, state
    rows.words[i, 0], rows.words[i, 1], rows.words[i, 2], rows.words[i, 3] = s0, s1, s2, s3
    return num_groups >= 0


@merged
def _trajectory(i, queue, rows, shared, network, work, budget, _):
    """Run trajectory i until it ends or to the next multiple of RESUM; the work that was."""
    # The sums depend on their history. So that nothing else depends on it, a call ends at multiples of
    # RESUM only.
    begin = rows.fired[i] + rows.reached[i]
    boundary = (rows.fired[i] // RESUM + 1) * RESUM
    room = work.size.size
    while rows.status[i] == RUNNING and rows.fired[i] < boundary:
        if not _stretch(i, boundary, queue, rows, shared, network, work):
            room *= 2
            work = _work(rows.x.shape[1], network.rate.size, room)
    return rows.fired[i] + rows.reached[i] - begin + 1


@functools.cache
def kernel() -> Callable:
    """Return the kernel, which takes `Tables` for its laws; see `state`."""
    return kernel_of(_prepare, _trajectory)

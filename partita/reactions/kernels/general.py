"""Networks too large to be compiled, whatever happens in them: events, and rates that follow the time.

    B_r ≥ a_r(s, x) for s in [t, t + L]:   t ← t + E / Σ B, or t + L if that is past it;
    r with probability B_r / Σ B, kept with a_r / B_r

The method is that of `direct`, and of `thinning` where rates follow the time, but everything is read from
tables. The bounds stand in a tree of sums, so that finding a reaction, and changing a bound, costs the
logarithm of their number; sums do not depend on history. A candidate looks at one law only.
"""

import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from partita.reactions.kernels.calling import apart, borrowed, inlined, inner, merged
from partita.reactions.kernels.events import settle, turned
from partita.reactions.kernels.machine import STACK, machine, range_machine
from partita.reactions.kernels.running import draw, kernel_of, law_at, leave_state, left, record, take_state
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_EVENT,
    BAD_PROPENSITY,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    HALTED,
    INTERRUPTED,
    NONE,
    RUNNING,
)
from partita.reactions.kernels.streams import exponential, fetch_add, uniform
from partita.reactions.kernels.thinning import MOST, MOST_UNSURE

FOREVER = sys.float_info.max


class Work(NamedTuple):
    """What a kernel computes with, made once a call."""

    y: np.ndarray  # (slot + 2,): the state, 1, and the time
    # tree of bounds: those of the reactions are its second half, and each of the others is the sum of two
    sums: np.ndarray
    stack: np.ndarray
    low: np.ndarray
    high: np.ndarray
    due: np.ndarray  # (event,) bool
    new: np.ndarray  # (assignment,)


@inner
def _prepare(rows, tables):
    num_slots, num_reactions = rows.x.shape[1], tables.network.rate.size
    size = 1
    while size < num_reactions:
        size *= 2
    num_events, num_targets = tables.target_begin.size - 1, tables.targets.size
    stacks = np.zeros((3, STACK))
    due, new = np.zeros(num_events, np.bool_), np.zeros(num_targets)
    return Work(np.ones(num_slots + 2), np.zeros(2 * size), stacks[0], stacks[1], stacks[2], due, new)


@inlined
def _set_bound(sums, r, bound):
    node = sums.size // 2 + r
    sums[node] = bound + 0.0  # −0.0 would make the next waiting time −∞
    while node > 1:
        node //= 2
        sums[node] = sums[2 * node] + sums[2 * node + 1]


@inlined
def _found(sums, threshold):
    """The reaction in whose part of the whole the threshold falls; one of bound 0 is never found."""
    node, half = 1, sums.size // 2
    while node < half:
        node *= 2
        if threshold >= sums[node] and sums[node + 1] > 0.0:
            threshold -= sums[node]
            node += 1
    return node - half


@inlined
def _note(log, place, t, reaction, y):
    if place < log.time.size:
        log.time[place], log.reaction[place] = t, reaction
        for slot in range(log.state.shape[1]):
            log.state[place, slot] = y[slot]
        return place + 1
    return place


def _range_of_law() -> Callable:
    value_of, range_of = machine(), range_machine()

    @inlined
    def range_of_law(r, t, end, tables, work):
        """A law from `t` to `end`: 0, or less where it may be negative, and the largest it may be."""
        if tables.follows_time[r]:
            words, begin = tables.ranges.words, tables.ranges.begin
            low, high = apart(
                range_of,
                (
                    words,
                    begin[r],
                    begin[r + 1],
                    value_of,
                    tables.network.constants,
                    work.y,
                    t,
                    end,
                    work.stack,
                    work.low,
                    work.high,
                ),
            )
            return low, high if not high < 0.0 else 0.0
        return _value_twice(r, t, end, tables, work)

    return range_of_law


@inlined
def _value_twice(r, t, end, tables, work):
    value = law_at(r, tables.network, work)
    return value, value


@inlined
def _is_wrong(t, tables, work):
    """Return whether a law that follows the time is negative or not finite at one."""
    y = work.y
    now = y[y.size - 1]
    y[y.size - 1] = t
    wrong = False
    for r in range(tables.network.rate.size):
        if tables.follows_time[r]:
            wrong = wrong or not 0.0 <= law_at(r, tables.network, work) < np.inf
    y[y.size - 1] = now
    return wrong


@inlined
def _look_ahead(t, i, b, rows, shared, tables, work, bound_of):
    """Set the bounds for a window that holds not too many candidates.

    Returns:
        The window's end, and whether the laws are fine in it.
    """
    last, shortest = np.nextafter(shared.stops[b], -np.inf), np.nextafter(t, np.inf)
    num, half = tables.network.rate.size, work.sums.size // 2
    while True:
        end = min(max(t + rows.window[i], shortest), last) if tables.is_moving else last
        fine, unsure = True, False
        for r in range(num):
            low, high = bound_of(r, t, end, tables, work)
            fine = fine and high < np.inf and (tables.follows_time[r] or low >= 0.0)
            unsure = unsure or not low >= 0.0
            work.sums[half + r] = high + 0.0
        for node in range(half - 1, 0, -1):
            work.sums[node] = work.sums[2 * node] + work.sums[2 * node + 1]
        fine = fine and work.sums[1] < np.inf
        enough = work.sums[1] * (end - t) <= (MOST_UNSURE if unsure else MOST)
        if fine and unsure:
            fine = not _is_wrong(t, tables, work) and not _is_wrong(end, tables, work)
        if (fine and enough) or end <= shortest or not tables.is_moving:
            return end, fine
        rows.window[i] *= 0.5


@inlined
def _begin(rows, tables, work, i):
    """Take what stands in the rows, and let events happen at the start: t, stop, status, events noted."""
    y, t, b, noted = work.y, rows.clock[i], rows.stop[i], np.int64(0)
    take_state(i, rows, work)
    y[y.size - 1] = t
    if b >= 0:
        return t, b, RUNNING, noted
    fine = settle(rows.armed[i], tables, work)
    if rows.armed.shape[1] > 0:
        noted = _note(tables.log, noted, t, NONE, y)
    return t, 0, RUNNING if fine else BAD_EVENT, noted


@inlined
def _happen(r, t, end, armed, tables, work, bound_of):
    """Let a reaction happen, and what it sets off; whether to set all bounds anew, and the status."""
    y, network = work.y, tables.network
    for place in range(network.change_begin[r], network.change_begin[r + 1]):
        y[network.changed[place]] += network.change[place]
    fine = True
    for place in range(network.touched_begin[r], network.touched_begin[r + 1]):
        other = np.int64(network.touched[place])
        low, high = bound_of(other, t, end, tables, work)
        fine = fine and low >= 0.0 and high < np.inf
        _set_bound(work.sums, other, high)
    if turned(r, armed, tables, work):
        return True, RUNNING if settle(armed, tables, work) else BAD_EVENT
    return not fine, RUNNING


@inlined
def _is_still(t, tables, work, bound_of):
    """Return whether nothing will ever happen again, unless a condition turns."""
    for r in range(tables.network.rate.size):
        _, high = bound_of(r, t, FOREVER, tables, work)
        if not high <= 0.0:
            return False
    return True


@inlined
def _end_badly(t, i, k, rows, shared, tables, work):
    """Record what holds at `t`, after which the laws are no propensities: the next time, the status."""
    after, times = np.nextafter(t, np.inf), shared.times
    until = after if after < times[times.size - 1] else np.inf
    k = record(i, k, until, rows, shared, tables.network.num_counts, work)
    return k, FINISHED if k == times.size else BAD_PROPENSITY


@inlined
def _chosen(u, words, tables, work):
    """The reaction of a candidate, −1 where its law is no propensity; whether it happens."""
    r = _found(work.sums, u * work.sums[1])
    bound, value = work.sums[work.sums.size // 2 + r], law_at(r, tables.network, work)
    if not 0.0 <= value < np.inf:
        return -1, False
    return r, not (tables.follows_time[r] and uniform(draw(words)) * bound >= value)


@merged
def _trajectory(i, queue, rows, shared, tables, work, budget, bound_of):
    """Run trajectory i until it ends or about `budget` events are done; the work that was."""
    rows, shared, tables, work = borrowed((rows, shared, tables, work))
    network, y, words, log, k = tables.network, work.y, rows.words[i], tables.log, rows.reached[i]
    t, b, state, noted = _begin(rows, tables, work, i)
    end, spent, events, allowed, fresh = t, 1, 0, 0, True
    # Where rates follow the time, what is drawn depends on the windows: it may stop only where a new one
    # begins.
    anywhere, room_to_note = not tables.is_moving, max(log.time.size - 1, 0)
    while (
        state == RUNNING and not (spent >= budget and (fresh or anywhere)) and not noted >= room_to_note > 0
    ):
        spent += 1
        if (spent & 255) == 0 and fetch_add(queue, 0) >= HALTED:
            state = INTERRUPTED
            break
        if fresh or events >= allowed:
            room, fired = left(network, work), rows.fired[i] + events
            if room < 1 or fired >= shared.max_events:
                state = COUNT_TOO_LARGE if room < 1 else EVENT_LIMIT
                break
            allowed = events + min(room, shared.max_events - fired)
            spent += network.rate.size // 8
            end, fine = _look_ahead(t, i, b, rows, shared, tables, work, bound_of)
            if not fine:
                k, state = _end_badly(t, i, k, rows, shared, tables, work)
                break
        before = words[0], words[1], words[2], words[3]
        then, u = t + exponential(draw(words)) / work.sums[1], uniform(draw(words))
        inside, to_stop = then <= end, not end < np.nextafter(shared.stops[b], -np.inf)
        until = then if inside else shared.stops[b] if to_stop else end
        k = record(i, k, until, rows, shared, network.num_counts, work)
        if k == shared.times.size:
            over = shared.stops[b] == np.inf and _is_still(t, tables, work, bound_of)
            state = ABSORBED if over else FINISHED
            words[0], words[1], words[2], words[3] = before
            break
        t, y[y.size - 1], fresh = until, until, not inside
        if inside:
            r, happens = _chosen(u, words, tables, work)
            if not happens:
                state = RUNNING if r >= 0 else BAD_PROPENSITY
                continue
            fresh, state = _happen(r, t, end, rows.armed[i], tables, work, bound_of)
            events += 1
            noted = _note(log, noted, t, r, y)
        elif to_stop:
            b += 1
            state = RUNNING if settle(rows.armed[i], tables, work) else BAD_EVENT
            noted = _note(log, noted, t, NONE, y)
        else:
            rows.window[i] *= 2.0
    leave_state(i, rows, work)
    rows.clock[i], rows.reached[i], rows.stop[i], rows.status[i] = t, k, b, state
    rows.fired[i] += events
    return spent


@functools.cache
def kernel(follows_time: bool) -> Callable:
    """Return the kernel, which takes `Everything` for its laws; see `state`.

    `follows_time` says whether a propensity does.
    """
    bound_of = _range_of_law() if follows_time else _value_twice

    return kernel_of(_prepare, _trajectory, bound_of)

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
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from partita.kernels import keep
from partita.reactions.kernels.events import settling
from partita.reactions.kernels.machine import STACK, machine, range_machine
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_EVENT,
    BAD_PROPENSITY,
    COUNT_LIMIT,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    HALTED,
    INTERRUPTED,
    RUNNING,
)
from partita.reactions.kernels.streams import advance, exponential, fetch_add, uniform
from partita.reactions.kernels.thinning import MOST, MOST_UNSURE

FOREVER = sys.float_info.max
NONE = np.int64(-1)  # no reaction; of the type of the others, so that nothing is compiled twice
# for kernels alone: half as much to compile
_inner = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


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


@_inner
def _work(tables):
    num_slots, num_reactions = tables.log.state.shape[1], tables.network.rate.size
    size = 1
    while size < num_reactions:
        size *= 2
    num_events, num_targets = tables.target_begin.size - 1, tables.targets.size
    stacks = np.zeros((3, STACK))
    due, new = np.zeros(num_events, np.bool_), np.zeros(num_targets)
    return Work(np.ones(num_slots + 2), np.zeros(2 * size), stacks[0], stacks[1], stacks[2], due, new)


@_inner
def _set_bound(sums, r, bound):
    node = sums.size // 2 + r
    sums[node] = bound + 0.0  # −0.0 would make the next waiting time −∞
    while node > 1:
        node //= 2
        sums[node] = sums[2 * node] + sums[2 * node + 1]


@_inner
def _found(sums, threshold):
    """The reaction in whose part of the whole the threshold falls; one of bound 0 is never found."""
    node, half = 1, sums.size // 2
    while node < half:
        node *= 2
        if threshold >= sums[node] and sums[node + 1] > 0.0:
            threshold -= sums[node]
            node += 1
    return node - half


@_inner
def _record(rows, shared, num_counts, i, k, until, y):
    """Write the state down for all times before `until`; the next of the times."""
    times, columns = shared.times, shared.columns
    while k < times.size and times[k] < until:
        for slot in range(columns.size):
            if columns[slot] >= 0 and slot < num_counts:
                rows.counts[i, columns[slot], k] = np.int64(y[slot])
            elif columns[slot] >= 0:
                rows.others[i, columns[slot], k] = y[slot]
        k += 1
    return k


@_inner
def _note(log, place, t, reaction, y):
    if place < log.time.size:
        log.time[place], log.reaction[place] = t, reaction
        for slot in range(log.state.shape[1]):
            log.state[place, slot] = y[slot]
        return place + 1
    return place


@_inner
def _word(words):
    r, words[0], words[1], words[2], words[3] = advance(words[0], words[1], words[2], words[3])
    return r


def kernel(follows_time: bool) -> Callable:
    """Return the kernel, which takes `Everything` for its laws; see `state`.

    `follows_time` says whether a propensity does.
    """
    return _kernel(machine(), range_machine() if follows_time else None)


@functools.cache
def _kernel(value_of: Callable, range_of: Callable | None) -> Callable:  # noqa: C901, PLR0915 - functions that Numba compiles together
    look_ahead, bound_of, law_at = _bounding(value_of, range_of)
    settle, turned = settling(value_of)

    @_inner
    def begin(rows, tables, work, i):
        """What stands in the rows, and what happens at the very start: t, next time, next stop, status."""
        y, t, b = work.y, rows.clock[i], rows.stop[i]
        for slot in range(y.size - 2):
            y[slot] = rows.x[i, slot]
        y[y.size - 1] = t
        if b >= 0:
            return t, rows.reached[i], b, RUNNING
        fine = settle(rows.armed[i], tables, work)
        return t, rows.reached[i], 0, RUNNING if fine else BAD_EVENT

    @_inner
    def left(fired, shared, tables, y):
        """How many events may happen before the limits are looked at again; the status if there are none."""
        highest = 0.0
        for slot in range(tables.network.num_counts):
            highest = max(highest, abs(y[slot]))
        room = np.int64((COUNT_LIMIT - highest) / tables.network.largest_change)
        if room < 1:
            return 0, COUNT_TOO_LARGE
        return min(room, shared.max_events - fired), RUNNING if fired < shared.max_events else EVENT_LIMIT

    @_inner
    def happen(r, t, end, tables, work):
        """Let a reaction happen; whether all bounds it touches are still fine."""
        y, network = work.y, tables.network
        for place in range(network.change_begin[r], network.change_begin[r + 1]):
            y[network.changed[place]] += network.change[place]
        fine = True
        for place in range(network.touched_begin[r], network.touched_begin[r + 1]):
            other = np.int64(network.touched[place])
            low, high = bound_of(other, t, end, tables, work)
            fine = fine and low >= 0.0 and high < np.inf
            _set_bound(work.sums, other, high)
        return fine

    @_inner
    def is_still(t, tables, work):
        """Whether nothing will ever happen again, unless a condition turns."""
        for r in range(tables.network.rate.size):
            _, high = bound_of(r, t, FOREVER, tables, work)
            if not high <= 0.0:
                return False
        return True

    @_inner
    def end_badly(t, i, k, rows, shared, tables, work):
        """Record what holds at `t`, after which the laws are no propensities: the next time, the status."""
        after, times = np.nextafter(t, np.inf), shared.times
        until = after if after < times[times.size - 1] else np.inf
        k = _record(rows, shared, tables.network.num_counts, i, k, until, work.y)
        return k, FINISHED if k == times.size else BAD_PROPENSITY

    @_inner
    def chosen(u, words, tables, work):
        """The reaction of a candidate, −1 where its law is no propensity; whether it happens."""
        r = _found(work.sums, u * work.sums[1])
        bound, value = work.sums[work.sums.size // 2 + r], law_at(r, tables, work)
        if not 0.0 <= value < np.inf:
            return -1, False
        return r, not (tables.follows_time[r] and uniform(_word(words)) * bound >= value)

    @_inner
    def trajectory(queue, rows, shared, tables, work, i, budget):  # noqa: C901, PLR0915 - an inner loop in one piece, as above
        """Run trajectory i until it ends or about `budget` events are done; the work that was."""
        network, y, words, log, noted = tables.network, work.y, rows.words[i], tables.log, 0
        times, stops = shared.times, shared.stops
        t, k, b, state = begin(rows, tables, work, i)
        if rows.stop[i] < 0 and rows.armed.shape[1] > 0:
            noted = _note(log, noted, t, NONE, y)
        end, spent, events, allowed, fresh = t, 1, 0, 0, True
        # Where rates follow the time, what is drawn depends on the windows: it may stop only where a new one
        # begins.
        anywhere, room_to_note = not tables.is_moving, max(log.time.size - 1, 0)
        while (
            state == RUNNING
            and not (spent >= budget and (fresh or anywhere))
            and not noted >= room_to_note > 0
        ):
            spent += 1
            if (spent & 255) == 0 and fetch_add(queue, 0) >= HALTED:
                state = INTERRUPTED
                break
            if fresh or events >= allowed:
                room, state = left(rows.fired[i] + events, shared, tables, y)
                allowed = events + room
                if state != RUNNING:
                    break
                spent += network.rate.size // 8
                end, fine = look_ahead(t, i, b, rows, shared, tables, work)
                if not fine:
                    k, state = end_badly(t, i, k, rows, shared, tables, work)
                    break
                fresh = False
            before = words[0], words[1], words[2], words[3]
            then, u = t + exponential(_word(words)) / work.sums[1], uniform(_word(words))
            inside, to_stop = then <= end, not end < np.nextafter(stops[b], -np.inf)
            until = then if inside else stops[b] if to_stop else end
            k = _record(rows, shared, network.num_counts, i, k, until, y)
            if k == times.size:
                state = ABSORBED if stops[b] == np.inf and is_still(t, tables, work) else FINISHED
                words[0], words[1], words[2], words[3] = before
                break
            t, y[y.size - 1] = until, until
            if inside:
                r, happens = chosen(u, words, tables, work)
                if r < 0:
                    state = BAD_PROPENSITY
                if not happens:
                    continue
                fresh = not happen(r, t, end, tables, work)
                events += 1
                if turned(r, rows.armed[i], tables, work):
                    state = state if settle(rows.armed[i], tables, work) else BAD_EVENT
                    fresh = True
                noted = _note(log, noted, t, r, y)
            elif to_stop:
                fresh = True
                b += 1
                state = state if settle(rows.armed[i], tables, work) else BAD_EVENT
                noted = _note(log, noted, t, NONE, y)
            else:
                fresh = True
                rows.window[i] *= 2.0
        for slot in range(y.size - 2):
            rows.x[i, slot] = y[slot]
        rows.clock[i], rows.reached[i], rows.stop[i], rows.status[i] = t, k, b, state
        rows.fired[i] += events
        return spent

    def run(queue, places, rows, shared, tables, budget):
        work = _work(tables)
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
            spent += trajectory(queue, rows, shared, tables, work, i, budget - spent)
            if rows.status[i] != RUNNING:
                places[0] = -1
        return True

    return keep(njit(nogil=True, error_model="numpy", boundscheck=False)(run))


def _bounding(value_of: Callable, range_of: Any) -> tuple[Callable, Callable, Callable]:  # noqa: C901 - functions that Numba compiles together
    """The functions that bound the propensities over a window, one of them, and compute one."""

    @_inner
    def law_at(r, tables, work):
        network, y = tables.network, work.y
        value = network.rate[r] * y[network.first[r]] * (y[network.second[r]] - network.less[r])
        if value != value:
            words, begin = network.programs
            value = value_of(words, begin[r], begin[r + 1], network.constants, y, work.stack)
        return value

    @_inner
    def value_twice(r, t, end, tables, work):
        value = law_at(r, tables, work)
        return value, value

    @_inner
    def range_of_law(r, t, end, tables, work):
        """A law from `t` to `end`: 0, or less where it may be negative, and the largest it may be."""
        if tables.follows_time[r]:
            words, begin = tables.ranges
            constants = tables.network.constants
            low, high = range_of(
                value_of,
                words,
                begin[r],
                begin[r + 1],
                constants,
                work.y,
                t,
                end,
                work.stack,
                work.low,
                work.high,
            )
            return low, high if not high < 0.0 else 0.0
        return value_twice(r, t, end, tables, work)

    bound_of: Callable = value_twice if range_of is None else range_of_law

    @_inner
    def is_wrong(t, tables, work):
        """Whether a law that follows the time is negative or not finite at one."""
        y = work.y
        now = y[y.size - 1]
        y[y.size - 1] = t
        wrong = False
        for r in range(tables.network.rate.size):
            if tables.follows_time[r]:
                wrong = wrong or not 0.0 <= law_at(r, tables, work) < np.inf
        y[y.size - 1] = now
        return wrong

    @_inner
    def look_ahead(t, i, b, rows, shared, tables, work):
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
                fine = not is_wrong(t, tables, work) and not is_wrong(end, tables, work)
            if (fine and enough) or end <= shortest or not tables.is_moving:
                return end, fine
            rows.window[i] *= 0.5

    return look_ahead, bound_of, law_at

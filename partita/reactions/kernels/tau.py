"""Tau-leaping: many firings at once where propensities hardly change.

An approximation; `epsilon` bounds the change.

    K_r ~ Poisson(a_r τ),    τ = min_i { max(ε x_i / g_i, 1) / |μ_i|,  max(ε x_i / g_i, 1)² / σ²_i }

(Cao, Gillespie, Petzold 2006.) Reactions that could use up a reactant within ten firings are critical: at
most one of them fires in a leap. Where a leap would be no longer than a few events, a hundred exact ones are
done instead. A leap ends at the next grid point at the latest, so the numbers depend on the times asked for,
too.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from partita.reactions.kernels.calling import borrowed, inlined, inner, merged
from partita.reactions.kernels.layout import Numbers, Plan
from partita.reactions.kernels.machine import STACK
from partita.reactions.kernels.running import (
    draw,
    kernel_of,
    law_at,
    leave_state,
    record,
    record_last,
    take_state,
)
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_PROPENSITY,
    COUNT_LIMIT,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    RUNNING,
)
from partita.reactions.kernels.streams import exponential, uniform
from partita.reactions.kernels.tables import Tables, network_tables
from partita.reactions.model.expression import names

CRITICAL = 10  # firings that could use up a reactant
SHORT = 10.0  # a leap shorter than so many mean waiting times is not worth it
EXACT = 100  # events done exactly instead


class Leaping(NamedTuple):
    """The tables of a network for tau-leaping.

    For each slot, `order` is the order of the highest reaction it is a reactant of, and `copies` is how
    often it is in it.
    """

    network: Tables
    order: np.ndarray
    copies: np.ndarray
    epsilon: float


def leaping_tables(plan: Plan, given: Numbers, epsilon: float) -> Leaping:
    """The network as arrays.

    A law that is not mass action counts as one of third order in each species it reads.
    """
    order, copies = np.zeros(len(plan.slots) + 1, np.int64), np.zeros(len(plan.slots) + 1, np.int64)
    slots = {name: i for i, name in enumerate(plan.slots)}
    for r, (reaction, law) in enumerate(zip(plan.network.reactions, plan.laws, strict=True)):
        mass_action = plan.rates[r] is not None
        counts = dict(reaction.reactants) if mass_action else {}
        for name in names(law) & slots.keys():
            of_reaction = (sum(counts.values()), counts.get(name, 1)) if mass_action else (3, 1)
            i = slots[name]
            order[i], copies[i] = max((order[i], copies[i]), of_reaction)
    return Leaping(network_tables(plan, given), order, copies, epsilon)


@njit(error_model="numpy")
def _poisson(mean, words):
    """Return a Poisson number.

    It comes from products of uniforms where the mean is small, from transformed rejection (Hörmann 1993)
    where not.
    """
    if mean <= 0.0:
        return 0.0
    if mean < 10.0:
        bound, product, count = math.exp(-mean), 1.0, -1.0
        while product > bound or count < 0.0:
            count += 1.0
            product *= _uniform(words)
        return count
    root = math.sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    quick = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = _uniform(words) - 0.5
        v = 1.0 - _uniform(words)
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43) if us > 0.0 else -1.0
        if us >= 0.07 and v <= quick:
            return k
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inverse_alpha / (a / (us * us) + b)) <= k * math.log(mean) - mean - math.lgamma(
            k + 1.0
        ):
            return k


@inlined
def _uniform(words):
    return uniform(draw(words))


@njit(error_model="numpy")
def _change_scale(order, copies, count):
    """The g of the formula: how strongly the propensities can follow this species."""
    if copies >= 3 and count > 2.0:
        return 3.0 + 1.0 / (count - 1.0) + 2.0 / (count - 2.0)
    if copies == 2 and count > 1.0:
        return (2.0 + 1.0 / (count - 1.0)) * order / 2.0
    return max(float(order), 1.0)


class Work(NamedTuple):
    """What the kernel computes with."""

    y: np.ndarray  # (slot + 1,): the state, and 1
    stack: np.ndarray
    words: np.ndarray  # (4,) uint64: where the stream stands
    trial: np.ndarray  # (slot + 1,): the state after a leap
    drift: np.ndarray  # (slot,): μ of the formula
    spread: np.ndarray  # (slot,): σ² of the formula
    a: np.ndarray  # (reaction,): the propensities
    critical: np.ndarray  # (reaction,) bool


@inner
def _prepare(rows, tables):
    num_slots, num_reactions = rows.x.shape[1], tables.network.rate.size
    return Work(
        np.ones(num_slots + 1),
        np.zeros(STACK),
        np.empty(4, np.uint64),
        np.ones(num_slots + 1),
        np.zeros(num_slots),
        np.zeros(num_slots),
        np.zeros(num_reactions),
        np.zeros(num_reactions, np.bool_),
    )


@inlined
def _longest_leap(tables, work):
    """Mark the critical reactions; the longest leap, and the sum of the critical propensities."""
    network, critical_total, leap = tables.network, 0.0, np.inf
    for s in range(work.drift.size):
        work.drift[s] = work.spread[s] = 0.0
    for r in range(network.rate.size):
        places = range(network.change_begin[r], network.change_begin[r + 1])
        work.critical[r] = False
        for place in places:
            change = network.change[place]
            if change < 0.0 and work.y[network.changed[place]] < -CRITICAL * change:
                work.critical[r] = True
        if work.critical[r]:
            critical_total += work.a[r]
            continue
        for place in places:
            change = network.change[place]
            work.drift[network.changed[place]] += change * work.a[r]
            work.spread[network.changed[place]] += change * change * work.a[r]
    for s in range(work.drift.size):
        if tables.order[s] > 0:
            scale = _change_scale(tables.order[s], tables.copies[s], work.y[s])
            most = max(tables.epsilon * work.y[s] / scale, 1.0)
            leap = min(leap, most / abs(work.drift[s]), most * most / work.spread[s])
    return leap, critical_total


@inlined
def _fire_others(step, network, work):
    """Let the reactions that are not critical fire; how often, −1 where a count would fall below 0."""
    number = 0.0
    for r in range(network.rate.size):
        firings = 0.0 if work.critical[r] else _poisson(work.a[r] * step, work.words)
        number += firings
        for place in range(network.change_begin[r], network.change_begin[r + 1]):
            work.trial[network.changed[place]] += firings * network.change[place]
    for s in range(work.drift.size):
        if not (work.trial[s] >= 0.0 or work.trial[s] >= work.y[s]):
            return -1.0
    return number


@inlined
def _leap(t, leap, to_critical, others, edge, network, work):
    """Leap until `edge` at the latest, in halves where a count would fall below 0.

    Returns:
        The longest leap, the time after it, and how often reactions that are not critical fire.
    """
    while True:
        until = min(t + min(leap, to_critical), edge)
        for s in range(work.drift.size):
            work.trial[s] = work.y[s]
        number = _fire_others(until - t, network, work) if leap < np.inf or others else 0.0
        if number != -1.0:
            return leap, until, number
        leap = min(leap, until - t) / 2.0


@inlined
def _fire_critical(critical_total, network, work):
    """Let one of the critical reactions fire."""
    threshold = _uniform(work.words) * critical_total
    chosen, reach = 0, 0.0
    for r in range(network.rate.size):
        if work.critical[r] and work.a[r] > 0.0:
            chosen = r
            reach += work.a[r]
            if threshold < reach:
                break
    for place in range(network.change_begin[chosen], network.change_begin[chosen + 1]):
        work.trial[network.changed[place]] += network.change[place]


@inlined
def _accept(network, work):
    """Make the state that of the trial, unless a count of it is too large; whether none is."""
    highest = 0.0
    for s in range(network.num_counts):
        highest = max(highest, abs(work.trial[s]))
    if highest >= COUNT_LIMIT:
        return False
    for s in range(work.drift.size):
        work.y[s] = work.trial[s]
    return True


@inlined
def _compute(network, work):
    """Compute all propensities, critical for now; their sum, and whether they are propensities."""
    total, fine = 0.0, True
    for r in range(network.rate.size):
        value = law_at(r, network, work)
        fine = fine and 0.0 <= value < np.inf
        work.a[r], work.critical[r] = value, True
        total += value
    return total, fine and total < np.inf


@inlined
def _choose_leap(exact, total, tables, work):
    """The longest leap, the sum of the critical propensities, and how many exact events are to come."""
    if exact > 0 or not total > 0.0:
        return np.inf, total, exact
    leap, critical_total = _longest_leap(tables, work)
    if not leap < SHORT / total:
        return leap, critical_total, exact
    for r in range(work.critical.size):
        work.critical[r] = True
    return np.inf, total, np.int64(EXACT)


@merged
def _trajectory(i, queue, rows, shared, tables, work, budget, _):
    """Run trajectory i until it ends or about `budget` events are done; the work that was."""
    rows, shared, tables, work = borrowed((rows, shared, tables, work))
    network, spent, state = tables.network, 1, RUNNING
    take_state(i, rows, work)
    for place in range(4):
        work.words[place] = rows.words[i, place]
    t, k, events, exact = rows.clock[i], rows.reached[i], rows.fired[i], rows.exact[i]
    while state == RUNNING and spent <= budget:
        spent += 1 + network.rate.size // 4
        total, fine = _compute(network, work)
        if not fine or events >= shared.max_events:
            state = EVENT_LIMIT if fine else BAD_PROPENSITY
            break
        leap, critical_total, exact = _choose_leap(exact, total, tables, work)
        to_critical, edge = exponential(draw(work.words)) / critical_total, shared.times[k]
        leap, until, number = _leap(t, leap, to_critical, critical_total < total, edge, network, work)
        if to_critical <= leap and t + to_critical <= edge:
            _fire_critical(critical_total, network, work)
            number += 1.0
            exact = max(exact - 1, 0)
        if not _accept(network, work):
            state = COUNT_TOO_LARGE
            break
        t = until
        events += np.int64(number)
        if t >= edge:
            k = record(i, k, np.nextafter(t, np.inf), rows, shared, network.num_counts, work)
            if k == shared.times.size:
                state = ABSORBED if total == 0.0 else FINISHED
    if state == BAD_PROPENSITY:
        k, state = record_last(i, k, t, rows, shared, network.num_counts, work)
    leave_state(i, rows, work)
    for place in range(4):
        rows.words[i, place] = work.words[place]
    rows.clock[i], rows.reached[i], rows.fired[i], rows.status[i] = t, k, events, state
    rows.exact[i] = exact
    return spent


@functools.cache
def kernel() -> Callable:
    """Return the kernel, which takes `Leaping` for its laws; see `state`."""
    return kernel_of(_prepare, _trajectory)

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

from partita.kernels import keep
from partita.reactions.kernels.layout import Numbers, Plan
from partita.reactions.kernels.machine import STACK, machine
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_PROPENSITY,
    COUNT_LIMIT,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    RUNNING,
)
from partita.reactions.kernels.streams import advance, exponential, fetch_add, uniform
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


@njit(error_model="numpy")
def _word(words):
    r, words[0], words[1], words[2], words[3] = advance(words[0], words[1], words[2], words[3])
    return r


@njit(error_model="numpy")
def _uniform(words):
    return uniform(_word(words))


@njit(error_model="numpy")
def _change_scale(order, copies, count):
    """The g of the formula: how strongly the propensities can follow this species."""
    if copies >= 3 and count > 2.0:
        return 3.0 + 1.0 / (count - 1.0) + 2.0 / (count - 2.0)
    if copies == 2 and count > 1.0:
        return (2.0 + 1.0 / (count - 1.0)) * order / 2.0
    return max(float(order), 1.0)


def kernel() -> Callable:
    """Return the kernel, which takes `Leaping` for its laws; see `state`."""
    return _kernel(machine())


@functools.cache
def _kernel(value_of: Callable) -> Callable:  # noqa: C901, PLR0915 - functions that Numba compiles together
    def run(queue, places, rows, shared, tables, budget):  # noqa: C901, PLR0915 - an inner loop in one piece, as above
        """The kernel; see `state`."""
        words, x, clock, reached, fired, status, _, _, _, left, counts, _ = rows
        columns, times, _, max_events = shared
        network, order, copies, epsilon = tables
        rate, first, second, less, programs, constants, changed, change, change_begin, _, _, _, num_counts = (
            network
        )
        program, program_begin = programs
        num_reactions, num_slots = rate.size, x.shape[1]
        stack = np.zeros(STACK)
        a, firings, critical = (
            np.zeros(num_reactions),
            np.zeros(num_reactions),
            np.zeros(num_reactions, np.bool_),
        )
        y, trial, drift, spread = (
            np.ones(num_slots + 1),
            np.ones(num_slots + 1),
            np.zeros(num_slots),
            np.zeros(num_slots),
        )
        state_words = np.empty(4, np.uint64)
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
            state_words[:] = words[i]
            t, k, events, exact = clock[i], reached[i], fired[i], left[i]
            state = RUNNING
            while state == RUNNING and spent < budget:
                spent += 1 + num_reactions // 4
                total = 0.0
                for r in range(num_reactions):
                    value = rate[r] * y[first[r]] * (y[second[r]] - less[r])
                    if value != value:
                        value = value_of(program, program_begin[r], program_begin[r + 1], constants, y, stack)
                    if not 0.0 <= value < np.inf:
                        state = BAD_PROPENSITY
                    a[r] = value
                    total += value
                if state == RUNNING and not total < np.inf:
                    state = BAD_PROPENSITY
                if state == RUNNING and events >= max_events:
                    state = EVENT_LIMIT
                if state != RUNNING:
                    break
                leap = np.inf
                critical_total = total
                if exact == 0 and total > 0.0:
                    critical_total = 0.0
                    drift[:] = 0.0
                    spread[:] = 0.0
                    for r in range(num_reactions):
                        critical[r] = False
                        for place in range(change_begin[r], change_begin[r + 1]):
                            if change[place] < 0.0 and y[changed[place]] < -CRITICAL * change[place]:
                                critical[r] = True
                        if critical[r]:
                            critical_total += a[r]
                            continue
                        for place in range(change_begin[r], change_begin[r + 1]):
                            drift[changed[place]] += change[place] * a[r]
                            spread[changed[place]] += change[place] * change[place] * a[r]
                    for s in range(num_slots):
                        if order[s] > 0:
                            most = max(epsilon * y[s] / _change_scale(order[s], copies[s], y[s]), 1.0)
                            leap = min(leap, most / abs(drift[s]), most * most / spread[s])
                    if leap < SHORT / total:
                        exact = EXACT
                        critical_total = total
                if exact > 0 or total == 0.0:
                    critical[:] = True
                    leap = np.inf
                to_critical = exponential(_word(state_words)) / critical_total
                while True:
                    until = min(t + min(leap, to_critical), times[k])
                    step = until - t
                    fires = to_critical <= leap and t + to_critical <= times[k]
                    trial[:] = y
                    fine = True
                    number = 0.0
                    if leap < np.inf or critical_total < total:
                        for r in range(num_reactions):
                            firings[r] = 0.0 if critical[r] else _poisson(a[r] * step, state_words)
                            number += firings[r]
                            for place in range(change_begin[r], change_begin[r + 1]):
                                trial[changed[place]] += firings[r] * change[place]
                        for s in range(num_slots):
                            fine = fine and (trial[s] >= 0.0 or trial[s] >= y[s])
                    if fine:
                        break
                    leap = min(leap, step) / 2.0
                if fires:
                    threshold = _uniform(state_words) * critical_total
                    chosen, reach = 0, 0.0
                    for r in range(num_reactions):
                        if critical[r] and a[r] > 0.0:
                            chosen = r
                            reach += a[r]
                            if threshold < reach:
                                break
                    for place in range(change_begin[chosen], change_begin[chosen + 1]):
                        trial[changed[place]] += change[place]
                    number += 1.0
                    exact = max(exact - 1, 0)
                for s in range(num_counts):
                    if abs(trial[s]) >= COUNT_LIMIT:
                        state = COUNT_TOO_LARGE
                if state != RUNNING:
                    break
                y[:] = trial
                t = until
                events += np.int64(number)
                while k < times.size and t >= times[k]:
                    for s in range(num_slots):
                        if columns[s] >= 0:
                            counts[i, columns[s], k] = np.int64(y[s])
                    k += 1
                if k == times.size:
                    state = ABSORBED if total == 0.0 else FINISHED
            if state == BAD_PROPENSITY:  # no matter where nothing is to be recorded any more
                while k < times.size and times[k] <= t:
                    for s in range(num_slots):
                        if columns[s] >= 0:
                            counts[i, columns[s], k] = np.int64(y[s])
                    k += 1
                if k == times.size:
                    state = FINISHED
            x[i] = y[:num_slots]
            words[i] = state_words
            clock[i], reached[i], fired[i], status[i], left[i] = t, k, events, state, exact
            spent += 1
            if state != RUNNING:
                places[0] = -1
        return True

    return keep(njit(nogil=True, error_model="numpy", boundscheck=False)(run))

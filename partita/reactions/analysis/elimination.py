"""The stationary law of a Markov chain by elimination (Grassmann, Taksar, Heyman 1985).

    s_k = Σ_j q_kj,    q_ij ← q_ij + q_ik q_kj / s_k  for all i, j that are left;
    then, backwards,   p_k = Σ_i p_i q_ik / s_k

The states are eliminated without a subtraction. All numbers are ≥ 0 and only added, multiplied and
divided, so each probability has a small relative error, however stiff the chain is (O'Cinneide 1993).
States are eliminated in the order of `dissection`, in dense fronts.

A state that is left too seldom to divide by s_k is put off until nothing else is left. Every state has a
weight, the time spent in it and in what was eliminated for it: it bounds what a rate that is too small for
float64 can do.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from partita.kernels import njit
from partita.reactions.analysis.dissection import Cost, Floats, Ints, Step, cost, dissect, front

if TYPE_CHECKING:
    from scipy import sparse

KEPT_LIMIT = 160_000_000  # numbers, 1.2 GiB
WORK_LIMIT = 1_500_000_000_000  # multiplications, some minutes
PANEL = 48  # pivots between two matrix products
SELDOM = 1e-200  # a state that is left with a smaller probability is put off
HEAVY = 1e200  # so is one whose weight over that probability is larger, in units of the smallest weight
# the same where nothing else is left; beyond them float64 knows no answer
LAST_SELDOM, LAST_HEAVY = 1e-280, 1e280
NOTHING = 1e-290  # a smaller rate is 0
TOLERANCE = 1e-9  # of the balance of flows, relative

Rates = tuple[Ints, Ints, Floats]  # as a SciPy sparse array keeps them: where rows begin, columns, values


class _Done(NamedTuple):
    """The result of one step that is needed on the way back.

    It holds the step's states, which of them were eliminated in which order, and q_ik / s_k.
    """

    members: Ints
    order: Ints
    shares: Floats


@njit(error_model="numpy")
def _assemble(block, pivots, outward, inward, done, local, num_pivots):
    """Put the rates of the pivots into the block.

    Those between a pivot and what is done stand in the children's blocks.
    """
    indptr, indices, values = outward
    for place in range(pivots.size):
        for entry in range(indptr[pivots[place]], indptr[pivots[place] + 1]):
            other = indices[entry]
            if not done[other]:
                block[place, local[other]] += values[entry]
    indptr, indices, values = inward
    for place in range(pivots.size):
        for entry in range(indptr[pivots[place]], indptr[pivots[place] + 1]):
            other = indices[entry]
            if not done[other] and local[other] >= num_pivots:
                block[local[other], place] += values[entry]


@njit()
def _extend(block, places, added):
    """Add a child's block, whose rows and columns stand at these places."""
    for row in range(places.size):
        for column in range(places.size):
            block[places[row], places[column]] += added[row, column]


@njit(error_model="numpy")
def _eliminate(block, weights, start, stop, shares, rows, order, seldom, heavy):  # noqa: PLR0913 - Numba counts the arrays of a tuple at each use
    """Eliminate the states `start` to `stop − 1` of a block.

    Rows and columns outside are brought up to date by a product later.

    Gives the number of states eliminated: their places in `order`, q_ik / s_k in the columns of `shares`,
    q_kj in `rows`.
    """
    size = block.shape[0]
    count = 0
    for k in range(start, stop):
        block[k, k] = 0.0
        leaving = 0.0
        for j in range(size):
            leaving += block[k, j]
        if leaving < seldom or weights[k] > heavy * leaving:
            continue
        for i in range(size):
            shares[i, count] = block[i, k] / leaving if block[i, k] > NOTHING else 0.0
            weights[i] += shares[i, count] * weights[k]
            block[i, k] = 0.0
        for j in range(size):
            rows[count, j] = block[k, j] if block[k, j] > NOTHING else 0.0
            block[k, j] = 0.0
        for i in range(size):
            share = shares[i, count]
            if share != 0.0:
                first, last = (0, size) if start <= i < stop else (start, stop)
                for j in range(first, last):
                    block[i, j] += share * rows[count, j]
        order[count] = k
        count += 1
    return count


@njit(error_model="numpy")
def _walk_back(members, order, shares, mantissa, exponent):
    """The probabilities of eliminated states from those of the others, as mantissa · 2^exponent."""
    for place in range(order.size - 1, -1, -1):
        total, scale = 0.0, -(1 << 60)
        for i in range(members.size):
            share = shares[i, place]
            if share == 0.0 or mantissa[members[i]] == 0.0:
                continue
            term, power = math.frexp(share)
            term *= mantissa[members[i]]
            power += exponent[members[i]]
            if power > scale:
                total = math.ldexp(total, max(scale - power, -2000)) + term
                scale = power
            else:
                total += math.ldexp(term, max(power - scale, -2000))
        k = members[order[place]]
        if total > 0.0:
            mantissa[k], power = math.frexp(total)
            exponent[k] = scale + power


def _room(size: int, pivots: int) -> tuple[Floats, Floats, Ints]:
    """Room for what `_eliminate` makes of some pivots: `shares`, `rows` and `order`."""
    return np.zeros((size, pivots)), np.zeros((pivots, size)), np.zeros(pivots, np.int64)


class _Elimination:
    """A chain that is being eliminated."""

    def __init__(self, outward: Rates, inward: Rates, pattern: tuple[Ints, Ints], weights: Floats):
        count = len(weights)
        self.outward, self.inward, self.pattern, self.weights = outward, inward, pattern, weights
        self.done, self.local = np.zeros(count, np.bool_), np.full(count, -1)
        self.history: list[_Done] = []
        self.left: dict[int, tuple[Ints, Floats]] = {}

    def step(self, number: int, step: Step) -> None:
        """Eliminate the pivots of one step."""
        blocks = [self.left.pop(child) for child in step.children]
        begun = np.concatenate([step.pivots, *(handed_on for handed_on, _ in blocks)])
        pivots = len(step.pivots)
        members = front(*self.pattern, begun, pivots, self.done, self.local)
        block = np.zeros((len(members), len(members)))
        _assemble(block, step.pivots, self.outward, self.inward, self.done, self.local, pivots)
        for its_members, its_block in blocks:
            _extend(block, self.local[its_members], its_block)
        self.local[members] = -1
        self.done[step.pivots] = True
        kept = self._reduce(members, block, pivots)
        self.left[number] = members[kept], block[np.ix_(kept, kept)]

    def _reduce(self, members: Ints, block: Floats, pivots: int) -> Ints:
        """Eliminate the first states of a block, panel by panel; gives the places of those that are left."""
        size = len(members)
        weights = self.weights[members]
        put_off = np.zeros(0, np.int64)
        shares, order = np.zeros((size, pivots)), np.zeros(pivots, np.int64)
        total = 0
        for start in range(0, pivots, PANEL):
            stop = min(start + PANEL, pivots)
            columns, rows, chosen = _room(size, stop - start)
            count = _eliminate(block, weights, start, stop, columns, rows, chosen, SELDOM, HEAVY)
            rest = np.concatenate([put_off, np.arange(stop, size)])
            if count and len(rest):
                if len(put_off):
                    block[np.ix_(rest, rest)] += columns[rest, :count] @ rows[:count, rest]
                else:
                    block[stop:, stop:] += columns[stop:, :count] @ rows[:count, stop:]
            put_off = np.concatenate([put_off, np.setdiff1d(np.arange(start, stop), chosen[:count])])
            shares[:, total : total + count] = columns[:, :count]
            order[total : total + count] = chosen[:count]
            total += count
        self.weights[members] = weights
        self.history.append(_Done(members, order[:total], np.ascontiguousarray(shares[:, :total])))
        return np.concatenate([put_off, np.arange(pivots, size)])

    def finish(self, number: int) -> None:
        """Eliminate what was put off, all but one state."""
        members, block = self.left.pop(number)
        weights = self.weights[members]
        while len(members) > 1:
            np.fill_diagonal(block, 0.0)
            leaving = block.sum(axis=1)
            with np.errstate(over="ignore", divide="ignore"):
                k = int(np.argmin(weights / leaving))
            shares, rows, order = _room(len(members), 1)
            if not _eliminate(block, weights, k, k + 1, shares, rows, order, LAST_SELDOM, LAST_HEAVY):
                raise ValueError(
                    f"the stationary distribution cannot be told in float64: {len(members)} sets of states "
                    "are left less often than once in 1e280 jumps; take `distribution` at the times of "
                    "interest"
                )
            self.history.append(_Done(members, order, shares))
            rest = np.delete(np.arange(len(members)), k)
            block = block[np.ix_(rest, rest)] + shares[rest] @ rows[:, rest]
            members, weights = members[rest], weights[rest]
        self.last = int(members[0])


def off_diagonal(rates: "sparse.sparray") -> "sparse.csc_array":
    """The rates without those on the diagonal, and without zeros that are stored."""
    from scipy.sparse import csc_array, diags_array

    moving = csc_array(rates - diags_array(rates.diagonal()))
    moving.eliminate_zeros()
    return moving


def stationary(rates: "sparse.sparray", coordinates: Ints) -> Floats:
    """The stationary law of an irreducible chain.

    Args:
        rates: From the state of the column to that of the row, a SciPy sparse array `(states, states)`. Its
            diagonal is left out.
        coordinates: Whole numbers that place each state near those it leads to, `(states, dimensions)`.

    Returns:
        Probabilities `(states,)`, each with a small relative error; those below 1e-308 are 0.

    Raises:
        ValueError: if it would take too much memory or time, or sets of states are left too seldom for
            float64.

    Example:
        >>> from scipy.sparse import csc_array
        >>> stationary(csc_array([[0.0, 1e-9], [3.0, 0.0]]), np.array([[0], [1]]))
        array([3.33333333e-10, 1.00000000e+00])
    """
    from scipy.sparse import csr_array

    if rates.shape[0] == 1:
        return np.ones(1)
    moving = off_diagonal(rates)
    leaving = np.asarray(moving.sum(axis=0)).ravel()
    held = 1.0 / leaving  # the mean time in a state; what follows is the chain of jumps
    jumps = moving.copy()
    jumps.data = moving.data / np.repeat(leaving, np.diff(moving.indptr))
    outward, inward = (
        (it.indptr.astype(np.int64), it.indices.astype(np.int64), it.data.astype(np.float64))
        for it in (jumps, csr_array(jumps))
    )
    both = csr_array(jumps + jumps.T)
    pattern = both.indptr.astype(np.int64), both.indices.astype(np.int64)
    steps = dissect(*pattern, coordinates)
    _check_cost(cost(steps, *pattern), len(held))
    with np.errstate(over="ignore"):
        weights = np.minimum(held / held.min(), 1e300)
    chain = _Elimination(outward, inward, pattern, weights)
    for number, step in enumerate(steps):
        chain.step(number, step)
    chain.finish(len(steps) - 1)
    mantissa, exponent = np.zeros(len(held)), np.zeros(len(held), np.int64)
    mantissa[chain.last] = 0.5
    for done in reversed(chain.history):
        _walk_back(done.members, done.order, done.shares, mantissa, exponent)
    mantissa, more = np.frexp(mantissa * held)
    power = exponent + more
    probabilities = np.ldexp(mantissa, np.maximum(power - power[mantissa > 0].max(), -2000))
    probabilities /= probabilities.sum()
    _check_balance(moving, leaving, probabilities)
    return probabilities


def _check_cost(needed: Cost, states: int) -> None:
    if needed.kept > KEPT_LIMIT or needed.work > WORK_LIMIT:
        raise ValueError(
            f"the stationary distribution of {states} states would take {needed.kept * 8 / 2**30:.1f} GiB "
            f"and {needed.work:.1g} multiplications, at most {KEPT_LIMIT * 8 / 2**30:.1f} GiB and "
            f"{WORK_LIMIT:.1g} are allowed: lower the bounds, or take `distribution` at a late time"
        )


def _check_balance(moving: "sparse.csc_array", leaving: Floats, probabilities: Floats) -> None:
    """Make sure that what flows into each state flows out of it."""
    out = probabilities * leaving
    far = np.abs(moving @ probabilities - out) > TOLERANCE * out + 1e-200 * out.max()
    if far.any():
        raise ValueError(
            f"the stationary distribution cannot be told in float64: the flows of {far.sum()} states do not "
            "balance"
        )

"""Uniformization: transient laws of a Markov chain without a subtraction (Jensen 1953).

    P(t) = Σ_k e^(−Λt) (Λt)^k / k! · (1 + Q/Λ)^k P(0),        Λ = the largest rate at which a state is left

The chain jumps at the times of a Poisson process. What leads out of the states goes into one more, so
that all always sums to 1. A stiff chain takes many jumps; where the states are few, the matrix of a short
time is squared instead, which has no subtractions either.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from partita.kernels import njit
from partita.reactions.analysis.dissection import Floats
from partita.reactions.analysis.elimination import off_diagonal

if TYPE_CHECKING:
    from scipy import sparse

WORK_LIMIT = 1_000_000_000_000  # multiplications, some minutes
PIECE = 100_000_000  # multiplications between two looks at Ctrl-C
DENSE_LIMIT = 3000  # states whose matrix is squared
DENSE_GAIN = 8  # how much faster a product of matrices multiplies
TAIL = 1e-20  # weights that are this small beside the largest are left out
NOTHING = 1e-200  # a smaller probability is 0: processors are slow where numbers come near to 1e-308


@njit(error_model="numpy")
def _jump(indptr, indices, shares, stays, gone, law, total, weights, lost, lost_total):  # noqa: PLR0913 - Numba counts the arrays of a tuple at each use
    """As many jumps as there are weights; adds the laws on the way to `total`.

    Gives what has gone, and its weighted sum.
    """
    after = np.empty_like(law)
    for weight in weights:
        if weight > 0.0:
            for i in range(law.size):
                total[i] += weight * law[i]
            lost_total += weight * lost
        leaves = 0.0
        for i in range(law.size):
            leaves += gone[i] * law[i]
            value = stays[i] * law[i]
            for entry in range(indptr[i], indptr[i + 1]):
                value += shares[entry] * law[indices[entry]]
            after[i] = value if value > NOTHING else 0.0
        lost += leaves
        law[:] = after
    return lost, lost_total


class Chain:
    """A continuous-time Markov chain on finitely many states, some of which may be left for good.

    Args:
        rates: From the state of the column to that of the row, a SciPy sparse array; what is on its diagonal
            is left out.
        escape: The rate at which each state is left for good, `(states,)`.

    Example:
        >>> from scipy.sparse import csc_array
        >>> law, lost = Chain(csc_array([[0.0, 0.0], [3.0, 0.0]]), np.array([0.0, 1.0])).after(
        ...     np.array([1.0, 0.0]), 2.0
        ... )
        >>> law.round(6), round(lost, 6)
        (array([0.002479, 0.199285]), 0.798236)
    """

    def __init__(self, rates: "sparse.sparray", escape: Floats):
        from scipy.sparse import csr_array

        moving = csr_array(off_diagonal(rates))
        leaving = np.asarray(moving.sum(axis=0)).ravel() + escape
        self.rate = float(leaving.max(initial=0.0))
        self.size = len(leaving)
        if self.rate > 0:
            self.stays, self.gone = 1.0 - leaving / self.rate, escape / self.rate
            moving.data = moving.data / self.rate
        self.moving = moving

    def after(self, law: Floats, time: float) -> tuple[Floats, float]:
        """The law after some time, and the probability that has left.

        Args:
            law: The law at the start, `(states,)`.
            time: How long after, in the unit of the rates.

        Raises:
            ValueError: if it would take more than `WORK_LIMIT` multiplications.
        """
        jumps = self.rate * time
        if not jumps:
            return law, 0.0
        one_by_one = jumps * (self.moving.nnz + 2 * self.size)
        by_squares = math.inf
        if self.size <= DENSE_LIMIT:
            by_squares = 2 * self.size**3 * max(1.0, math.log2(jumps) + 20) / DENSE_GAIN
        work = min(one_by_one, by_squares)
        if not work <= WORK_LIMIT:
            raise ValueError(
                f"{time:g} units of time hold up to {jumps:.2g} jumps, and the distribution of {self.size} "
                f"states would take {work:.1g} multiplications, at most {WORK_LIMIT:.0g} are allowed: take "
                "`stationary`, earlier times or lower bounds, or remove what is much faster than the rest"
            )
        follow = self._by_jumps if one_by_one <= by_squares else self._by_squares
        result, lost = follow(law, jumps)
        scale = law.sum() / (result.sum() + lost)  # 1, but for rounding
        return result * scale, float(lost * scale)

    def _by_jumps(self, law: Floats, jumps: float) -> tuple[Floats, float]:
        law, total, lost, lost_total = law.copy(), np.zeros(self.size), 0.0, 0.0
        moving = self.moving.indptr, self.moving.indices, self.moving.data
        for weights in _poisson(jumps, max(1, PIECE // (self.moving.nnz + 2 * self.size))):
            lost, lost_total = _jump(*moving, self.stays, self.gone, law, total, weights, lost, lost_total)
        return total, lost_total

    def _by_squares(self, law: Floats, jumps: float) -> tuple[Floats, float]:
        squarings = max(0, math.ceil(math.log2(jumps)))
        step = jumps / 2.0**squarings
        single = np.zeros((self.size + 1, self.size + 1))
        single[:-1, :-1] = self.moving.toarray() + np.diag(self.stays)
        single[-1, :-1], single[-1, -1] = self.gone, 1.0
        matrix, power, weight = np.eye(len(single)), np.eye(len(single)), 1.0
        for k in range(1, 25):  # the rest is below 1e-24
            power = single @ power
            weight *= step / k
            matrix += weight * power
        for _ in range(squarings):
            matrix /= matrix.sum(axis=0)
            matrix = matrix @ matrix
        matrix /= matrix.sum(axis=0)
        result = matrix @ np.append(law, 0.0)
        return result[:-1], float(result[-1])


def _poisson(mean: float, length: int) -> Iterator[Floats]:
    """The weights of a Poisson law from 0 on in pieces, those far out 0; their sum is 1.

    Example:
        >>> [piece.round(4).tolist() for piece in _poisson(0.5, 3)][0]
        [0.6065, 0.3033, 0.0758]
    """
    mode = math.floor(mean)
    reach = math.ceil(10 * math.sqrt(mean) + 60)
    first, last = max(0, mode - reach), mode + reach
    counts = np.arange(first, last + 1, dtype=float)
    above = np.cumprod(mean / counts[mode - first + 1 :])
    below = np.cumprod(counts[1 : mode - first + 1][::-1] / mean)[::-1]
    weights = np.concatenate([below, [1.0], above])
    weights[weights < TAIL] = 0.0
    weights /= weights.sum()
    weights = weights[: np.flatnonzero(weights)[-1] + 1]
    for begin in range(0, first, length):
        yield np.zeros(min(length, first - begin))
    for begin in range(0, len(weights), length):
        yield weights[begin : begin + length]

"""Alias tables: a draw from any distribution over a vocabulary in constant time.

    i uniform,   u uniform in [0, 1):
    the draw is i if u < threshold_i, else other_i          (Walker 1977, Vose 1991)

Each place holds 1/size of the whole: up to its threshold it belongs to its own number, above to one other.
"""

import numpy as np

from partita.kernels import njit


def alias_table(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds float32 and others int32, each `(size,)`, of probabilities that sum to 1.

    Raises:
        ValueError: if the probabilities are not `(size,)`, one is negative or NaN, or they do not sum to 1.

    Example:
        >>> thresholds, others = alias_table(np.array([0.5, 0.25, 0.25]))
        >>> thresholds.tolist(), others.tolist()
        ([1.0, 0.75, 0.75], [0, 0, 0])
    """
    shares = np.asarray(probabilities, np.float64)
    # Where they sum to less, what has no probability could be drawn.
    if shares.ndim != 1 or not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise ValueError(
            f"probabilities must be (size,), none negative, with sum 1, got the shape {shares.shape} and "
            f"sum {shares.sum()}"
        )
    thresholds, others = _fill(shares / shares.sum() * shares.size)
    return thresholds.astype(np.float32), others


@njit(nogil=True)
def _fill(left):
    size = left.size
    thresholds, others = np.ones(size), np.arange(size).astype(np.int32)
    # stacks of places below and above their share
    small, large = (np.empty(size, np.int32), np.empty(size, np.int32))
    num_small = num_large = 0
    for i in range(size):
        if left[i] < 1:
            small[num_small] = i
            num_small += 1
        else:
            large[num_large] = i
            num_large += 1
    while num_small and num_large:
        num_small -= 1
        i, giver = small[num_small], large[num_large - 1]
        thresholds[i], others[i] = left[i], giver
        left[giver] -= 1 - left[i]
        if left[giver] < 1:
            num_large -= 1
            small[num_small] = giver
            num_small += 1
    return thresholds, others

"""E-step of a Gaussian mixture: responsibilities, summed into the moments that the M-step needs.

The responsibility r_k(x) is how much component k owns of row x.

r_k(x) = π_k N(x; μ_k, Σ_k) / Σ_j π_j N(x; μ_j, Σ_j);   Σ_x r_k,   Σ_x r_k E[x],   Σ_x r_k E[x xᵀ]

A row with missing values enters by the density of what was seen; what was not is replaced by its conditional
moments, for each component.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from partita.backend import compiled

_LOG_2PI = math.log(2 * math.pi)
_PATTERNS_AT_ONCE = 32  # of missing values, in a batch
_NUMBERS_AT_ONCE = 2**21  # matrices of rows and components, in a batch of incomplete rows


class Gaussians(NamedTuple):
    """Parameters of the components of a Gaussian mixture.

    They are the proportions `(k,)`, means `(k, d)`, and covariances `(k, d, d)`, or `(k, d)` if they are
    diagonal.
    """

    proportions: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def log_proportions(self) -> np.ndarray:
        """The logarithms `(k,)`, finite also of 0."""
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(self.proportions), -1e30)


class Moments(NamedTuple):
    """Log-likelihood of all rows, and for each component the moments that the M-step needs.

    The moments are the sums of r `(k,)`, r x `(k, d)`, and r x xᵀ `(k, d, d)` or r x² `(k, d)`.
    """

    log_likelihood: Any
    owned: Any
    first: Any
    second: Any


class Rows:
    """Data `(n, d)` cut into batches for the device.

    Complete rows are apart from rows with NaN, which are sorted by what they miss.
    """

    def __init__(self, x: np.ndarray, batch_size: int):
        missing = np.isnan(x)
        incomplete = missing.any(axis=1)
        self.complete = [*_padded(x[~incomplete], batch_size)]
        order = np.lexsort(missing[incomplete].T)
        self.rest, self.missing = x[incomplete][order], missing[incomplete][order]

    def moments(self, gaussians: Gaussians) -> Moments:
        """One E-step over all rows."""
        diagonal = gaussians.covariances.ndim == 2
        size = gaussians.means.shape[1]
        weights = ops.convert_to_tensor(_natural(gaussians))
        pieces = [_own(x, real, weights, diagonal=diagonal) for x, real in self.complete]
        log_likelihood, sums = 0.0, np.zeros((len(gaussians.means), weights.shape[0]))
        for value, matrix in pieces:  # only now: the device has gone ahead
            log_likelihood += float(value)
            sums += ops.convert_to_numpy(matrix)
        second = sums[:, 1 + size :]
        if not diagonal:
            rows, columns = np.triu_indices(size)
            square = np.zeros((len(sums), size, size))
            square[:, rows, columns] = square[:, columns, rows] = second
            second = square
        found = Moments(log_likelihood, sums[:, 0], sums[:, 1 : 1 + size], second)
        for batch in self._incomplete(gaussians):
            found = Moments(*(a + b for a, b in zip(found, _completed(batch, gaussians), strict=True)))
        return found

    def _incomplete(self, gaussians: Gaussians) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        k, size = gaussians.means.shape
        limit = max(1, _NUMBERS_AT_ONCE // (k * size * size))
        # of the row's pattern
        number = np.cumsum(np.r_[0, (self.missing[1:] != self.missing[:-1]).any(axis=1)])
        start = 0
        while start < len(self.rest):
            end = min(start + limit, int(np.searchsorted(number, number[start] + _PATTERNS_AT_ONCE)))
            yield self.rest[start:end], self.missing[start:end]
            start = end


def log_densities(x: Any, gaussians: Gaussians) -> Any:
    """Compute log π_k N(x; μ_k, Σ_k) `(rows, k)` of complete rows, as tensors of their type.

    It does so by whitening, which is safe in float32.
    """
    means, dtype = gaussians.means, x.dtype
    if gaussians.covariances.ndim == 2:
        deviations = np.sqrt(gaussians.covariances)
        white = (x[:, None, :] - ops.cast(means, dtype)) * ops.cast(1 / deviations, dtype)
        log_scale = np.log(deviations).sum(axis=1)
    else:
        roots = np.linalg.cholesky(gaussians.covariances)
        away = x[:, None, :] - ops.cast(means, dtype)  # (rows, k, d)
        white = ops.einsum("rki,kji->rkj", away, ops.cast(np.linalg.inv(roots), dtype))
        log_scale = np.log(np.einsum("kdd->kd", roots)).sum(axis=1)
    constant = gaussians.log_proportions - log_scale - 0.5 * means.shape[1] * _LOG_2PI
    return ops.cast(constant, dtype) - 0.5 * ops.sum(white**2, axis=-1)


def seen_log_densities(x: np.ndarray, gaussians: Gaussians) -> np.ndarray:
    """The same for rows of which NaN was not seen, `(rows, k)`: the density of the rest."""
    return _conditional(x, np.isnan(x), gaussians)[0]


def _natural(gaussians: Gaussians) -> np.ndarray:
    """Return the coefficients `(features, k)` of log π_k N(x; μ_k, Σ_k).

    This is a linear function of (1, x, products of x).
    """
    if gaussians.covariances.ndim == 2:
        precisions = 1 / gaussians.covariances
        linear, quadratic = precisions * gaussians.means, -0.5 * precisions
        log_det = np.log(gaussians.covariances).sum(axis=1)
    else:
        precisions = np.linalg.inv(gaussians.covariances)
        linear = np.einsum("kde,ke->kd", precisions, gaussians.means)
        upper = np.triu_indices(gaussians.means.shape[1])
        quadratic = -precisions[:, upper[0], upper[1]] * np.where(upper[0] == upper[1], 0.5, 1.0)
        log_det = np.linalg.slogdet(gaussians.covariances)[1]
    constant = gaussians.log_proportions - 0.5 * (
        log_det + gaussians.means.shape[1] * _LOG_2PI + (linear * gaussians.means).sum(axis=1)
    )
    return np.concatenate([constant[:, None], linear, quadratic], axis=1).T


def _padded(x: np.ndarray, batch_size: int) -> Iterator[tuple[Any, Any]]:
    for start in range(0, len(x), batch_size):
        part = x[start : start + batch_size]
        real = np.zeros(min(batch_size, 1 << (len(part) - 1).bit_length()))
        real[: len(part)] = 1.0
        padded = np.pad(part, [(0, len(real) - len(part)), (0, 0)])
        yield ops.convert_to_tensor(padded), ops.convert_to_tensor(real)


@compiled
def _own(x, real, weights, *, diagonal):
    ones = ops.ones_like(x[:, :1])
    upper = np.triu_indices(x.shape[1])
    products = x * x if diagonal else ops.take(x, upper[0], axis=1) * ops.take(x, upper[1], axis=1)
    features = ops.concatenate([ones, x, products], axis=1)  # (rows, features)
    scores = ops.matmul(features, weights)  # (rows, k)
    top = ops.max(scores, axis=1, keepdims=True)
    owned = ops.exp(scores - top)
    total = ops.sum(owned, axis=1, keepdims=True)
    log_likelihood = ops.sum(real * (top + ops.log(total))[:, 0])
    return log_likelihood, ops.matmul(ops.transpose(owned * (real[:, None] / total)), features)


def _completed(batch: tuple[np.ndarray, np.ndarray], gaussians: Gaussians) -> Moments:
    x, missing = batch
    scores, filled, pattern, spread = _conditional(x, missing, gaussians)
    top = scores.max(axis=1, keepdims=True)
    owned = np.exp(scores - top)
    total = owned.sum(axis=1, keepdims=True)
    owned /= total
    by_pattern = np.zeros((len(spread), owned.shape[1]))
    np.add.at(by_pattern, pattern, owned)
    weighted = owned[:, :, None] * filled  # (rows, k, d)
    second = np.einsum("rki,rkj->kij", weighted, filled, optimize=True) + np.einsum(
        "pk,pkde->kde", by_pattern, spread
    )
    if gaussians.covariances.ndim == 2:
        second = np.einsum("kdd->kd", second)
    return Moments(float((top + np.log(total)).sum()), owned.sum(axis=0), weighted.sum(axis=0), second)


def _conditional(x, missing, gaussians):
    """Compute the log density of what was seen of each row, and the conditional moments of the rest.

    Each row and component has a log density, and x with the rest replaced by its mean. Each pattern of
    missing values has a spread, the conditional covariances.
    """
    means, covariances = gaussians.means, gaussians.covariances
    size = means.shape[1]
    if covariances.ndim == 2:
        covariances = np.einsum("kd,de->kde", covariances, np.eye(size))
    patterns, pattern = np.unique(missing, axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    seen = ~patterns[:, None, :]  # (patterns, 1, d)
    both = seen[..., None] & seen[..., None, :]
    shown = np.where(both, covariances, np.eye(size))  # the seen block, and ones on the diagonal of the rest
    precisions = np.where(both, np.linalg.inv(shown), 0.0)  # (patterns, k, d, d)
    fill = covariances @ precisions
    spread = np.where(seen[..., None] | seen[..., None, :], 0.0, covariances - fill @ covariances)
    gaps, known = missing[:, None, :], np.where(missing, 0.0, x)[:, None, :]  # (rows, 1, d)
    away = np.where(gaps, 0.0, known - means)  # (rows, k, d)
    distance = np.einsum("rki,rkij,rkj->rk", away, precisions[pattern], away, optimize=True)
    log_det = np.linalg.slogdet(shown)[1][pattern]
    constant = (~missing).sum(axis=1, keepdims=True) * _LOG_2PI
    scores = gaussians.log_proportions - 0.5 * (distance + log_det + constant)
    guessed = means + np.einsum("rkij,rkj->rki", fill[pattern], away, optimize=True)
    return scores, np.where(gaps, guessed, 0.0) + known, pattern, spread

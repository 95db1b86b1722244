"""Samples of an unnormalised density, by Langevin steps that are accepted or not (MALA).

    x' = x + ½ ε² s² ∇G(x) + ε s ξ,   accepted with probability min(1, exp(G(x') − G(x)) q(x|x') / q(x'|x))

s is the spread of the starting points in each dimension, ε follows the acceptance; ∇G is cut where it would
lead farther than ε s (Roberts and Tweedie 1996; Roberts and Rosenthal 1998).
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from partita.backend.derivatives import value_and_gradient
from partita.contrast.noise import Noise
from partita.contrast.pairing import as_array, draw
from partita.convergence import ConvergenceWarning
from partita.data.numbers import check_finite

STARTS = 10_000  # points of noise at least, out of which chains begin
BEST = 0.574  # acceptance that goes farthest, in many dimensions


def mala(
    energy: Callable[[Any], Any],
    start: npt.ArrayLike,
    steps: int = 500,
    step_size: float = 0.5,
    seed: int | None = None,
    log_support: Callable[[Any], Any] | None = None,
) -> tuple[np.ndarray, float]:
    """Move points by Langevin steps until they follow exp(G) / Z.

    Args:
        energy: G, tensors `(n, d)` → `(n,)`, differentiable.
        start: Where the chains begin, `(n, d)`.
        steps: How many; in the first half ε adapts.
        step_size: ε at first, in units of the spread of the start.
        seed: The same gives the same points.
        log_support: `(n, d)` → `(n,)`, −inf where no point may go; None: everywhere.

    Returns:
        The points after the last step `(n, d)` float32, and the share of steps accepted in the second half.

    Raises:
        ValueError: if the start is not finite points `(n, d)`, `steps` or `step_size` is out of range, or the
            energy or its gradient is not finite at the start. Later, a point where one of them is not finite
            is never accepted.

    Example:
        >>> points, accepted = mala(
        ...     lambda x: -0.5 * ops.sum(x**2, axis=-1), np.zeros((500, 1)) + 3.0, steps=100, seed=0
        ... )
        >>> points.shape, bool(abs(points.mean()) < 0.2), 0.3 < accepted < 0.9
        ((500, 1), True, True)
    """
    x = np.array(start, np.float32)
    if x.ndim != 2 or not x.size or steps < 1 or steps != int(steps):
        raise ValueError(
            f"start must be points (n, d) and steps an integer from 1, got the shape {x.shape} and {steps}"
        )
    check_finite("start", x)
    if not 0 < step_size < np.inf:
        raise ValueError(f"step_size must be above 0 and finite, got {step_size}")
    rng, both = np.random.default_rng(seed), value_and_gradient(energy)

    def look(points):
        value, slope = (ops.convert_to_numpy(part).astype(np.float32) for part in both(points))
        allowed = np.isfinite(value) & np.isfinite(slope).all(axis=1)
        if log_support is not None:
            allowed &= np.asarray(log_support(points)) > -np.inf
        return np.where(allowed, value, -np.inf), np.where(allowed[:, None], slope, 0)

    spread = x.std(axis=0)
    spread = np.where(spread > 0, spread, 1).astype(np.float32)
    size, accepted = np.float32(step_size), []
    value, slope = look(x)
    if (bad := np.isneginf(value)).any():
        raise ValueError(
            f"energy and its gradient must be finite at all points of the start, within the support, got "
            f"others at {x[bad][0]}"
        )

    def drift(slope):
        far = 0.5 * size * np.linalg.norm(spread * slope, axis=1, keepdims=True)
        # a steep slope must not throw a point across
        return 0.5 * (size * spread) ** 2 * slope / np.maximum(far, 1)

    for step in range(steps):
        ahead = x + drift(slope)
        to = ahead + size * spread * rng.standard_normal(x.shape, np.float32)
        value_to, slope_to = look(to)
        back = to + drift(slope_to)
        log_q = (((to - ahead) / spread) ** 2 - ((x - back) / spread) ** 2).sum(axis=1) / (2 * size**2)
        taken = np.log(rng.random(len(x))) < value_to - value + log_q
        x, slope = np.where(taken[:, None], to, x), np.where(taken[:, None], slope_to, slope)
        value = np.where(taken, value_to, value)
        if step < steps // 2:
            size = np.float32(size * np.exp(0.3 * (taken.mean() - BEST)))
        else:
            accepted.append(taken.mean())
    return x, float(np.mean(accepted))


def sample(energy: Callable[[Any], Any], noise: Noise, n: int, *, seed: int | None, steps: int) -> np.ndarray:
    """Draw `n` points of exp(G) / Z by chains that begin at noise, drawn by its weight exp(G) / U.

    Args:
        energy: As in `mala`.
        noise: U; where it has no density, no chain goes.
        n, seed, steps: How many points, their seed, and the steps to each.

    Warns:
        ConvergenceWarning: if no step was accepted.
    """
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=3).tolist()
    some, log_u = draw(noise, max(STARTS, 20 * n), seeds[0])
    start = chosen(some, ops.convert_to_numpy(energy(some)).astype(float) - log_u, n, seeds[1])

    def log_support(points):
        return as_array(noise.log_prob(points))

    points, accepted = mala(energy, start, steps=steps, seed=seeds[2], log_support=log_support)
    if accepted == 0 and n * steps >= 200:
        message = "no Langevin step was accepted: the points are noise, drawn by weight"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    return points


def chosen(points: np.ndarray, log_weights: np.ndarray, n: int, seed: int) -> np.ndarray:
    """`n` of some points, drawn by their weights: where chains begin.

    Raises:
        ValueError: if a weight is NaN or infinite, or all are 0.

    Example:
        >>> chosen(np.array([[1.0], [2.0]]), np.array([0.0, -np.inf]), 3, seed=0).tolist()
        [[1.0], [1.0], [1.0]]
    """
    bad = np.isnan(log_weights) | (log_weights == np.inf)
    if bad.any() or not np.isfinite(log_weights).any():
        place = int(np.flatnonzero(bad)[0]) if bad.any() else 0
        raise ValueError(
            f"energy and log U must be finite where there is noise, got G − log U = {log_weights[place]} at "
            f"{points[place]}"
        )
    weights = np.exp(log_weights - log_weights.max())
    return points[np.random.default_rng(seed).choice(len(points), n, p=weights / weights.sum())]

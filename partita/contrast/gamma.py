"""Noise-contrastive estimation of γ for a fixed energy: the root of a one-dimensional equation.

    f(γ) = mean_data σ(γ − a(x)) − c mean_noise σ(a(x') − γ) = 0

a are the logits of "data, not noise" at γ = 0. f rises from −c to 1: there is one root, however heavy the
tails of exp(G) / U are, where the average E_U exp(G) / U may have no finite value. The same equation is that
of bridge sampling (Bennett 1976; Meng and Wong 1996).
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from keras import ops, tree

from partita.contrast.pairing import Batch, Weights, draw, log_noise, points_of, rows_of

POINTS = 10_000  # of data and of noise, at most


def some_of(batches: Iterable[Batch], num_batches: int) -> Batch:
    """The first points of a dataset, and their weights, as many as γ is found from."""
    points, weights, count = [], [], 0
    for x, weight in islice(batches, num_batches):
        points.append(x)
        weights.append(np.ones(len(points_of(x))) if weight is None else weight)
        count += len(points_of(x))
        if count >= POINTS:
            break
    return tree.map_structure(lambda *parts: np.concatenate(parts), *points), np.concatenate(weights)


def balanced(model: Any, x: np.ndarray, weight: Weights, seed: int) -> float:
    """Return the γ that balances data and fresh noise, for the energy of an `EnergyModel` as it is.

    For `"ranking"`, whose loss leaves γ open, it is the one that `"nce"` would find.

    Args:
        model: The `EnergyModel`, without contexts.
        x: Data `(n, ...)`.
        weight: Weights `(n,)`, or None.
        seed: Of the noise, and of the points of data where there are many.

    Raises:
        ValueError: if the energy of a point is NaN or +inf, or −inf at all of the noise.
    """
    if len(x) > POINTS:
        x, weight = rows_of(x, weight, np.random.default_rng(seed).choice(len(x), POINTS, replace=False))
    noise, log_u = draw(model.noise, POINTS, seed)
    energies = []
    for points, kind in ((x, "data"), (noise, "noise")):
        values = ops.convert_to_numpy(model(points)).astype(float)
        bad = np.isnan(values) | (values == np.inf)
        if bad.any():
            raise ValueError(
                f"energy must be finite where there is {kind}, got {values[bad][0]} at {points[bad][0]}"
            )
        energies.append(values)
    if model.loss_name in ("nce", "ranking"):
        shift = np.log(model.num_noise)
        energies = [energies[0] - log_noise(model.noise, x) - shift, energies[1] - log_u - shift]
    return root(energies[0], energies[1], model._noise_weight, weight)


def root(data: np.ndarray, noise: np.ndarray, weight: float, data_weight: np.ndarray | None = None) -> float:
    """Return the γ that balances data and noise.

    Args:
        data: Logits of data at γ = 0, `(n,)`, finite.
        noise: Logits of noise, `(m,)`; −inf where the energy leaves no room for a point.
        weight: c, what all noise counts beside all data: ν, or 1.
        data_weight: Weights of the data, `(n,)`, not negative; None: all count alike.

    Raises:
        ValueError: if a logit is NaN or +inf, or all of either kind are −inf: there is no γ then.

    Example:
        >>> round(root(np.array([1.0, 3.0]), np.array([1.0, 3.0]), 1.0), 6)
        2.0
    """
    data, noise = np.asarray(data, float), np.asarray(noise, float)
    for name, logits in (("data", data), ("noise", noise)):
        bad = np.isnan(logits) | (logits == np.inf)
        if bad.any() or not np.isfinite(logits).any():
            got = f"{logits[bad][0]} for {bad.sum()} of" if bad.any() else "−inf for all"
            raise ValueError(f"log Z needs logits of {name} that are finite, got {got} {len(logits)} points")
    if data_weight is None or not data_weight.any():
        data_weight = np.ones(len(data))
    counted = data_weight > 0
    data, log_shares = data[counted], np.log(data_weight[counted] / data_weight[counted].sum())

    def balance(gamma: float) -> float:
        """Return the log of the first mean less the log of the second.

        Both may be far below what a difference of them could show.
        """
        left = np.logaddexp.reduce(log_shares - np.logaddexp(0, data - gamma))
        right = np.logaddexp.reduce(-np.logaddexp(0, gamma - noise)) - np.log(len(noise)) + np.log(weight)
        return float(left - right)

    ends = np.concatenate([data[np.isfinite(data)], noise[np.isfinite(noise)]])
    low, high, step = float(ends.min()), float(ends.max()), 1.0
    while balance(low) > 0:
        low, step = low - step, 2 * step
    step = 1.0
    while balance(high) < 0:
        high, step = high + step, 2 * step
    while high - low > 1e-12 * (1 + abs(low) + abs(high)):  # halving needs no derivative, which may vanish
        middle = 0.5 * (low + high)
        low, high = (middle, high) if balance(middle) < 0 else (low, middle)
    return 0.5 * (low + high)

"""Noise to tell data from: known distributions that can be drawn from.

log U(x),   x' ~ U

Points are `(n, d)`, words are ids `(n,)`. Whatever has the two methods will do: a flow fitted to the data,
for instance.
"""

from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.linalg import solve_triangular

from partita.contrast.alias import alias_table


class Noise(Protocol):
    """What a model needs of its noise; arrays may be of NumPy or of Keras's backend.

    Example:
        >>> class Exponential:
        ...     def sample(self, n, seed=None):
        ...         return np.random.default_rng(seed).exponential(size=(n, 1))
        ...
        ...     def log_prob(self, x):
        ...         return np.where(x[:, 0] >= 0, -x[:, 0], -np.inf)
        >>> noise: Noise = Exponential()
    """

    def sample(self, n: int, seed: int | None = None) -> Any:
        """`n` points `(n, ...)`; the same seed gives the same ones."""
        ...

    def log_prob(self, x: Any) -> Any:
        """Logarithm of the density `(n,)` in nats, −inf where there is none."""
        ...


class _Saved:
    """Noise that Keras makes again of its arguments."""

    @classmethod
    def from_config(cls, config):
        """The same noise again."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="partita")
class Uniform(_Saved):
    """All points of a box alike.

    Args:
        low: Lower corner `(d,)`; a number stands for `(1,)`.
        high: Upper corner.

    Raises:
        ValueError: if the box is empty or unbounded.

    Example:
        >>> noise = Uniform([0, 0], [2, 1])
        >>> noise.sample(5, seed=0).shape, noise.log_prob(np.array([[1, 0.5], [3, 0.5]])).round(3).tolist()
        ((5, 2), [-0.693, -inf])
    """

    def __init__(self, low: npt.ArrayLike, high: npt.ArrayLike):
        corners = (np.atleast_1d(np.asarray(corner, float)) for corner in (low, high))
        self.low, self.high = np.broadcast_arrays(*corners)
        sides = self.high - self.low
        if self.low.ndim != 1 or not (np.isfinite(sides) & (sides > 0)).all():
            raise ValueError(
                f"low must lie below high in each dimension, both finite (d,), got {self.low.tolist()}, "
                f"{self.high.tolist()}."
            )

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` points `(n, d)` float32; the same seed gives the same ones."""
        unit = np.random.default_rng(seed).random((n, len(self.low)), np.float32)
        return np.clip(self.low + unit * (self.high - self.low), self.low, self.high).astype(np.float32)

    def log_prob(self, x: npt.ArrayLike) -> np.ndarray:
        """Log-density `(n,)` of points `(n, d)`: −inf outside, NaN where there is one in a point."""
        points = _points(x, len(self.low))
        low, high = self.low.astype(np.float32), self.high.astype(np.float32)  # may round a corner outwards
        inside = ((points >= low) & (points <= high)).all(axis=-1)
        found = np.where(inside, -np.log(self.high - self.low).sum(), -np.inf)
        return np.where(np.isnan(points).any(axis=-1), np.nan, found)

    def get_config(self):
        """The arguments."""
        return {"low": self.low.tolist(), "high": self.high.tolist()}


# The flows have a Normal, too.
@keras.saving.register_keras_serializable(package="partita", name="NormalNoise")
class Normal(_Saved):
    """A normal distribution with any covariance.

    Args:
        mean: `(d,)`.
        covariance: `(d, d)`, positive definite.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, or the covariance is not symmetric and
            positive definite.

    Example:
        >>> noise = Normal.fit(np.array([[0.0, 1], [1, 1], [2, 4], [1, 2]]))
        >>> noise.mean.tolist(), noise.log_prob([[1, 2]]).round(3).tolist()
        ([1.0, 2.0], [-1.289])
    """

    def __init__(self, mean: npt.ArrayLike, covariance: npt.ArrayLike):
        self.mean = np.atleast_1d(np.asarray(mean, float))
        self.covariance = np.atleast_2d(np.asarray(covariance, float))
        size = len(self.mean)
        if self.mean.ndim != 1 or self.covariance.shape != (size, size):
            raise ValueError(
                f"mean (d,) and covariance (d, d) must fit, got the shapes {self.mean.shape} and "
                f"{self.covariance.shape}."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError(
                f"mean and covariance must be finite, got {self.mean.tolist()}, {self.covariance.tolist()}."
            )
        tolerance = 1e-6 * np.abs(self.covariance).max()
        if not np.allclose(self.covariance, self.covariance.T, rtol=1e-6, atol=tolerance):
            raise ValueError(f"covariance must be symmetric, got {self.covariance.tolist()}.")
        try:
            self._root = np.linalg.cholesky(self.covariance)
        except np.linalg.LinAlgError:
            raise ValueError("covariance must be positive definite: some direction has no spread.") from None

    @classmethod
    def fit(cls, x: npt.ArrayLike) -> "Normal":
        """Mean and covariance of points `(n, d)`."""
        x = np.asarray(x, float)
        if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
            raise ValueError(f"x must be two or more finite points (n, d), got the shape {x.shape}.")
        return cls(x.mean(axis=0), np.cov(x, rowvar=False))

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` points `(n, d)` float32; the same seed gives the same ones."""
        unit = np.random.default_rng(seed).standard_normal((n, len(self.mean)), np.float32)
        return (self.mean + unit @ self._root.T).astype(np.float32)

    def log_prob(self, x: npt.ArrayLike) -> np.ndarray:
        """Log-density `(n,)` of points `(n, d)`."""
        size = len(self.mean)
        points = _points(x, size)
        infinite = np.isinf(points).any(axis=1) & ~np.isnan(points).any(axis=1)
        centred = np.where(infinite[:, None], 0, points) - self.mean
        unit = solve_triangular(self._root, centred.T, lower=True, check_finite=False)  # (d, n)
        unit[:, infinite] = np.inf
        log_volume = np.log(np.diag(self._root)).sum()
        return -0.5 * (unit**2).sum(axis=0) - log_volume - 0.5 * size * np.log(2 * np.pi)

    def get_config(self):
        """The arguments."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist()}


class _Words(_Saved):
    """Noise of ids, given the probability of each."""

    probabilities: np.ndarray

    def log_prob(self, x: npt.ArrayLike) -> np.ndarray:
        """Log-probability of ids of any shape: −inf where there is no such word."""
        ids = _array(x)
        if not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"x must be ids of words, integers, got {ids.dtype}.")
        known = (ids >= 0) & (ids < len(self.probabilities))
        with np.errstate(divide="ignore"):
            return np.where(known, np.log(self.probabilities[np.where(known, ids, 0)]), -np.inf)


@keras.saving.register_keras_serializable(package="partita")
class Unigram(_Words):
    """Words as often as they were counted, to a power: ids 0 to size − 1.

    Args:
        counts: How often each word was seen, `(size,)`.
        power: 1 gives the frequencies, 0 all words alike; word vectors take 0.75 (Mikolov et al. 2013).

    Raises:
        ValueError: if a count is negative or not finite, all are zero, or `power` is not finite.

    Example:
        >>> noise = Unigram([16, 1, 0])
        >>> noise.log_prob(np.array([0, 1])).round(3).tolist(), set(noise.sample(1000, seed=0).tolist())
        ([-0.118, -2.197], {0, 1})
    """

    def __init__(self, counts: npt.ArrayLike, power: float = 0.75):
        counts = np.asarray(counts, float)
        if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any() or not counts.any():
            raise ValueError(
                f"counts must be (size,), finite, none below 0 and some above, got the shape {counts.shape} "
                f"of {counts}."
            )
        if not np.isfinite(power):
            raise ValueError(f"power must be finite, got {power}.")
        # a word that was never seen is never drawn
        weights = np.where(counts > 0, (counts / counts.max()) ** power, 0.0)
        self.counts, self.power = counts, power
        self.probabilities = weights / weights.sum()
        self._table = alias_table(self.probabilities)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` ids `(n,)` int32; the same seed gives the same ones."""
        rng, (thresholds, others) = np.random.default_rng(seed), self._table
        ids = rng.integers(len(thresholds), size=n, dtype=np.int32)
        return np.where(rng.random(n, np.float32) < thresholds[ids], ids, others[ids])

    def get_config(self):
        """The arguments."""
        return {"counts": self.counts.tolist(), "power": self.power}


@keras.saving.register_keras_serializable(package="partita")
class LogUniform(_Words):
    """Log-uniform distribution, Zipf's law for words sorted by frequency, the most frequent first.

    P(i) = log((i + 2) / (i + 1)) / log(size + 1).

    Args:
        size: Of the vocabulary.

    Raises:
        ValueError: if `size` is below 1.

    Example:
        >>> LogUniform(3).log_prob(np.arange(4)).round(3).tolist()
        [-0.693, -1.229, -1.572, -inf]
    """

    def __init__(self, size: int):
        if not size >= 1 or size != int(size):
            raise ValueError(f"size must be a whole number from 1, at least 1, got {size}.")
        self.probabilities = np.log1p(1 / np.arange(1.0, size + 1)) / np.log(size + 1)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` ids `(n,)` int32; the same seed gives the same ones."""
        size = len(self.probabilities)
        # the inverse of the sums
        ids = np.exp(np.random.default_rng(seed).random(n) * np.log(size + 1)).astype(np.int32) - 1
        return np.minimum(ids, size - 1)

    def get_config(self):
        """The arguments."""
        return {"size": len(self.probabilities)}


def _array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x) if ops.is_tensor(x) else x)


def _points(x: Any, size: int) -> np.ndarray:
    points = _array(x)
    if points.ndim != 2 or points.shape[1] != size:
        raise ValueError(f"x must be points (n, {size}), got the shape {points.shape}.")
    return points


def check_saveable(noise: Noise) -> None:
    """Raise unless Keras can save the noise with a model.

    Raises:
        ValueError: if it is neither a Keras model nor of a registered class.
    """
    registered = keras.saving.get_registered_object(keras.saving.get_registered_name(type(noise)))
    if registered is None and not isinstance(noise, keras.layers.Layer):
        raise ValueError(
            f"noise must be a Keras model or a class registered with "
            f"keras.saving.register_keras_serializable to be saved, got {noise!r}"
        )


def save_noise(noise: Noise, store: Any) -> None:
    """Put the weights of the noise beside a model's own variables."""
    for i, weight in enumerate(_weights(noise)):
        store[f"noise_{i}"] = ops.convert_to_numpy(weight)


def load_noise(noise: Noise, store: Any) -> dict[str, Any]:
    """Take them out again; return what else there is, for `load_own_variables`."""
    for i, weight in enumerate(_weights(noise)):
        weight.assign(store[f"noise_{i}"])
    return {name: store[name] for name in [*store.keys()] if not name.startswith("noise_")}


def _weights(noise: Noise) -> list[keras.Variable]:
    return noise.weights if isinstance(noise, keras.layers.Layer) else []

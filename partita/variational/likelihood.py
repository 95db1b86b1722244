"""What a decoder's output says of the data: the second half of a VAE.

log p(x|z) = Σ_i log p(x_i | output_i(z))
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.types import Tensor
from partita.variational.gaussian import normal_log_prob, widen
from partita.variational.nets import sum_rows

_SCALES = ("shared", "output")


class Likelihood(keras.layers.Layer, ABC):
    """p(x|z) given the decoder's output: the contract of what a `VAE` ends with.

    Example:
        >>> class Exponential(Likelihood):  # the decoder gives the logarithm of the rate
        ...     low = 0.0
        ...
        ...     def log_prob(self, x, output):
        ...         return ops.sum(output - ops.exp(output) * x, axis=-1)
        ...
        ...     def mean(self, output):
        ...         return ops.exp(-output)
        ...
        ...     def draw(self, output, seed):
        ...         u = keras.random.uniform(ops.shape(output), seed=seed)
        ...         return -ops.log1p(-u) * ops.exp(-output)
        >>> float(Exponential().log_prob(ops.array([[2.0, 3.0]]), ops.zeros((1, 2)))[0])
        -5.0
    """

    numbers = 1  # of the decoder for each number of x, side by side on its last axis
    low, high = -math.inf, math.inf  # where data lie
    binarize = False
    arguments: tuple[str, ...] = ()  # of the constructor, by the names of attributes

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True

    @abstractmethod
    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """log p(x|z) `(batch,)` in nats."""

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:
        """E[x|z], the shape of x."""

    @abstractmethod
    def draw(self, output: Tensor, seed: Any) -> Tensor:
        """x drawn from p(x|z); `seed` is an integer or a `keras.random.SeedGenerator`."""

    def prepare(self, x: Tensor, seed: Any) -> Tensor:
        """What of the data is modelled: they themselves, or ones and zeros drawn from them."""
        x = widen(x)
        return _drawn(x, seed) if self.binarize else x

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in self.arguments}}


@keras.saving.register_keras_serializable(package="partita")
class BernoulliLikelihood(Likelihood):
    """Ones and zeros; the decoder gives log-odds.

    Args:
        binarize: Whether data between 0 and 1 are probabilities from which ones and zeros are drawn, anew in
            each step ("dynamic binarisation"). Without, they enter the formula as they are.

    Example:
        >>> x, log_odds = np.array([[1.0, 0.0]], "float32"), np.zeros((1, 2), "float32")
        >>> float(BernoulliLikelihood().log_prob(x, log_odds)[0])
        -1.386...
    """

    low, high = 0.0, 1.0
    arguments = ("binarize",)

    def __init__(self, binarize: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.binarize = binarize

    def log_prob(self, x, output):
        x, output = widen(x), widen(output)
        return sum_rows(x * output - ops.softplus(output))

    def mean(self, output):
        return ops.sigmoid(widen(output))

    def draw(self, output, seed):
        return _drawn(self.mean(output), seed)


def _drawn(probability: Tensor, seed: Any) -> Tensor:
    """Ones and zeros; NaN where the probability is NaN, which compares as false."""
    ones = ops.cast(keras.random.uniform(ops.shape(probability), seed=seed) < probability, probability.dtype)
    return ops.where(ops.isnan(probability), probability, ones)


class _Scaled(Likelihood, ABC):
    """Base class of likelihoods with a scale.

    The scale is fixed, one that is trained, or one for each number, which the decoder then gives beside the
    means.
    """

    arguments: tuple[str, ...] = ("scale", "floor")

    def __init__(self, scale: float | str = "shared", floor: float = 1e-4, **kwargs: Any):
        super().__init__(**kwargs)
        if not (scale in _SCALES if isinstance(scale, str) else scale > 0):
            raise ValueError(f"scale must be a number above 0, 'shared' or 'output', got {scale!r}")
        if not floor > 0:
            raise ValueError(f"floor must be above 0, got {floor}")
        self.scale, self.floor = scale, floor
        self.numbers = 2 if scale == "output" else 1
        if scale == "shared":
            self.log_scale = self.add_weight(
                name="log_scale", shape=(), initializer="zeros", dtype="float32", autocast=False
            )

    def _mean_and_log_scale(self, output):
        output = widen(output)
        if self.scale == "output":
            mean, log_scale = ops.split(output, 2, axis=-1)
            return mean, ops.maximum(log_scale, math.log(self.floor))
        if self.scale == "shared":
            return output, ops.maximum(self.log_scale + 0.0, math.log(self.floor))
        return output, ops.cast(ops.log(self.scale), output.dtype)


@keras.saving.register_keras_serializable(package="partita")
class NormalLikelihood(_Scaled):
    """Any real numbers: N(x; mean, scale²).

    Args:
        scale: Standard deviation: a number is fixed, "shared" is one trained weight, "output" comes from the
            decoder, whose last axis then holds means and, after them, logarithms of standard deviations.
        floor: Trained scales stay above it.

    Raises:
        ValueError: if an argument does not fit.

    Example:
        >>> x = np.zeros((1, 3), "float32")
        >>> float(NormalLikelihood(scale=1.0).log_prob(x, x)[0])
        -2.756...
    """

    def log_prob(self, x, output):
        mean, log_scale = self._mean_and_log_scale(output)
        return sum_rows(normal_log_prob(widen(x), mean, 2 * log_scale))

    def mean(self, output):
        return self._mean_and_log_scale(output)[0]

    def draw(self, output, seed):
        mean, log_scale = self._mean_and_log_scale(output)
        return mean + ops.exp(log_scale) * keras.random.normal(ops.shape(mean), seed=seed)


@keras.saving.register_keras_serializable(package="partita")
class LogisticLikelihood(_Scaled):
    """Discretised logistic likelihood of levels of grey k / (levels − 1) in [0, 1].

    It is the probability of a cell under a logistic law; the ends take the tails.

    P(x) = σ((x + ½w − m)/s) − σ((x − ½w − m)/s), w the distance of two levels. The decoder gives m in the
    units of x.

    Args:
        scale: s: a number is fixed, "shared" is one trained weight, "output" comes from the decoder, whose
            last axis then holds m and, after them, log s.
        floor: Trained scales stay above it.
        levels: How many, at least 2.

    Raises:
        ValueError: if an argument does not fit.

    Source: Kingma et al. 2016; Salimans et al. 2017.

    Example:
        >>> levels = np.linspace(0, 1, 4, dtype="float32")[:, None]
        >>> log_prob = LogisticLikelihood(scale=0.2, levels=4).log_prob(levels, 0 * levels + 0.4)
        >>> round(float(np.exp(np.array(log_prob)).sum()), 4)
        1.0
    """

    low, high = 0.0, 1.0
    arguments = ("scale", "floor", "levels")

    def __init__(self, scale: float | str = "shared", floor: float = 1e-4, levels: int = 256, **kwargs: Any):
        super().__init__(scale, floor, **kwargs)
        if levels < 2:
            raise ValueError(f"levels must be at least 2, got {levels}")
        self.levels = levels

    def log_prob(self, x, output):
        x, (mean, log_scale) = widen(x), self._mean_and_log_scale(output)
        narrow, half = ops.exp(-log_scale), 0.5 / (self.levels - 1)
        above, below = (x - mean + half) * narrow, (x - mean - half) * narrow
        # log(σ(a) − σ(b)) = −softplus(−a) − softplus(b) + log(1 − e^{b − a}): no difference of numbers near
        # 1.
        inside = -ops.softplus(-above) - ops.softplus(below) + ops.log(-ops.expm1(-2 * half * narrow))
        lowest, highest = -ops.softplus(-above), -ops.softplus(below)
        return sum_rows(ops.where(x < half, lowest, ops.where(x > 1 - half, highest, inside)))

    def mean(self, output):
        return ops.clip(self._mean_and_log_scale(output)[0], 0.0, 1.0)

    def draw(self, output, seed):
        mean, log_scale = self._mean_and_log_scale(output)
        u = keras.random.uniform(ops.shape(mean), 1e-6, 1 - 1e-6, seed=seed)
        x = mean + ops.exp(log_scale) * (ops.log(u) - ops.log1p(-u))
        return ops.round(ops.clip(x, 0.0, 1.0) * (self.levels - 1)) / (self.levels - 1)


NAMED = {"bernoulli": BernoulliLikelihood, "normal": NormalLikelihood, "logistic": LogisticLikelihood}


def check_range(x: np.ndarray, likelihood: Likelihood) -> None:
    """Check that data x lie where the likelihood has them.

    Raises:
        ValueError: if a number does not; it names the first.
    """
    low, high = likelihood.low, likelihood.high
    with np.errstate(invalid="ignore"):
        ends = (x.min(), x.max()) if x.size else ()  # of no numbers all are fine
        if np.isfinite(ends).all() and all(low <= end <= high for end in ends):
            return  # two passes over the data instead of five
        good = np.isfinite(x) & (x >= low) & (x <= high)
    # an end is bad, so one of the numbers is
    row, *place = (int(index) for index in np.argwhere(~good)[0])
    wanted = f"numbers from {low:g} to {high:g}" if math.isfinite(low) else "finite numbers"
    at = f", place {', '.join(map(str, place))}" if place else ""
    raise ValueError(
        f"x must hold {wanted} for {type(likelihood).__name__}, got {x[row, *place]:g} in row {row}{at}"
    )

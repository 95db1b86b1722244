"""Gaussian heads: a net's output read as mean and log-variance, drawn from by reparameterisation.

z = μ + σ ε,   KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − log σ² − 1)
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.types import Tensor

_LOG_2PI = math.log(2 * math.pi)
_LARGEST_LOG_VARIANCE = 20.0  # beyond it float32 loses the sums that variances enter


def split_gaussian(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and log-variance `(batch, d)` out of what an encoder gives.

    An encoder gives one tensor `(batch, 2 d)`, means first, or the two as a pair. Both are returned in
    float32 at least; log-variances are cut at ±20.

    Example:
        >>> mean, log_variance = split_gaussian(np.array([[1.0, 2.0, 0.0, -1.0]], "float32"))
        >>> np.array(log_variance).tolist()
        [[0.0, -1.0]]
    """
    is_pair = isinstance(parameters, (list, tuple))
    mean, log_variance = parameters if is_pair else ops.split(ops.convert_to_tensor(parameters), 2, axis=-1)
    return widen(mean), ops.clip(widen(log_variance), -_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)


def widen(x: Tensor) -> Tensor:
    """Return the tensor in float32, unless it is wider.

    Sums of logarithms need this where nets compute in 16 bits.
    """
    x = ops.convert_to_tensor(x)
    return x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")


def reparameterize(mean: Tensor, log_variance: Tensor, seed: Any) -> Tensor:
    """A draw from N(mean, exp(log_variance)), as a differentiable function of both.

    Args:
        mean: Any shape.
        log_variance: The same shape.
        seed: An integer or a `keras.random.SeedGenerator`.

    Source: Kingma, Welling 2014.

    Example:
        >>> z = reparameterize(np.zeros((2, 3), "float32"), np.zeros((2, 3), "float32"), seed=0)
        >>> tuple(z.shape)
        (2, 3)
    """
    mean, log_variance = ops.convert_to_tensor(mean), ops.convert_to_tensor(log_variance)
    noise = keras.random.normal(ops.shape(mean), dtype=keras.backend.standardize_dtype(mean.dtype), seed=seed)
    return mean + ops.exp(0.5 * log_variance) * noise


def normal_log_prob(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mean, exp(log_variance)) of each number by itself, in nats; the three broadcast.

    Example:
        >>> round(float(normal_log_prob(np.zeros(1), np.zeros(1), np.zeros(1))[0]), 4)
        -0.9189
    """
    x, mean, log_variance = map(ops.convert_to_tensor, (x, mean, log_variance))
    return -0.5 * (_LOG_2PI + log_variance + (x - mean) ** 2 * ops.exp(-log_variance))


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, 1)) of each number by itself, in nats.

    Example:
        >>> float(kl_to_standard(np.ones(1), np.zeros(1))[0])
        0.5
    """
    mean, log_variance = map(ops.convert_to_tensor, (mean, log_variance))
    return 0.5 * (mean**2 + ops.exp(log_variance) - log_variance - 1.0)


def kl_between(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """Compute the KL divergence of two normal distributions, of each number by itself, in nats.

    It is KL(N(mean, exp(log_variance)) ‖ N(other_mean, exp(other_log_variance))).

    Example:
        >>> zeros = np.zeros(1)
        >>> float(kl_between(zeros, zeros, zeros + 2.0, zeros)[0])
        2.0
    """
    mean, log_variance, other_mean, other_log_variance = map(
        ops.convert_to_tensor, (mean, log_variance, other_mean, other_log_variance)
    )
    ratio = log_variance - other_log_variance
    return 0.5 * ((mean - other_mean) ** 2 * ops.exp(-other_log_variance) + ops.exp(ratio) - ratio - 1.0)


@keras.saving.register_keras_serializable(package="partita")
class StandardNormal:
    """Standard normal distribution N(0, 1) in each of `size` dimensions.

    It is the prior where no other is given, and a model for priors of one's own.

    Example:
        >>> prior = StandardNormal(2)
        >>> prior.sample(3, seed=0).shape, float(prior.log_prob(np.zeros((1, 2), "float32"))[0])
        ((3, 2), -1.8378...)
    """

    def __init__(self, size: int):
        self.size = size

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) `(batch,)` of points `(batch, size)`."""
        z = ops.convert_to_tensor(z)
        return ops.sum(-0.5 * (_LOG_2PI + z**2), axis=-1)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` points `(n, size)`; the same seed gives the same ones."""
        return np.random.default_rng(seed).normal(size=(n, self.size)).astype("float32")

    def get_config(self) -> dict[str, Any]:
        """The argument."""
        return {"size": self.size}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StandardNormal":
        """The same again."""
        return cls(**config)

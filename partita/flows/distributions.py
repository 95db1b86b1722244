"""Where a flow's latent comes from: independent features of a known law.

log p(z) = Σ_i log p(z_i)
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import keras
from keras import ops

from partita.flows.bijection import OwnPrecision, Shape, in_own_precision, positive, sum_features
from partita.types import Tensor

_FAR = 1e9  # where 1 + z² is z² in float64, too


class Distribution(OwnPrecision, ABC):
    """A law on latent space: the contract of what a `Flow` begins with.

    Args:
        trained_scale: Whether each feature has a scale of its own, trained with the flow. Without, all scales
            are 1.

    Example:
        >>> import numpy as np
        >>> class Laplace(Distribution):
        ...     def log_density(self, z):
        ...         return -ops.abs(z) - math.log(2)
        ...
        ...     def draw(self, shape, seed):
        ...         u = keras.random.uniform(shape, -0.5, 0.5, seed=seed)
        ...         return -ops.sign(u) * ops.log1p(-2 * ops.abs(u))
        >>> ops.convert_to_numpy(Laplace()(np.zeros((1, 2))))
        array([-1.386], dtype=float32)
    """

    def __init__(self, trained_scale: bool = False, dtype: Any = None, **kwargs: Any):
        super().__init__(dtype, **kwargs)
        self.trained_scale = trained_scale
        self.settings: dict[str, Any] = {}  # what a subclass adds to the config

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """log p of each number by itself, for scale 1; the shape of z."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], seed: Any) -> Tensor:
        """Independent draws for scale 1; `seed` is an integer or a `keras.random.SeedGenerator`."""

    @in_own_precision
    def build(self, z_shape):
        if self.trained_scale:
            self.log_scale = self.add_weight(name="log_scale", shape=z_shape[1:], initializer="zeros")

    @in_own_precision
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) `(batch,)`, in nats."""
        z = ops.cast(ops.convert_to_tensor(z), self.compute_dtype)
        if not self.trained_scale:
            return sum_features(self.log_density(z))
        log_scale = self.log_scale + 0.0
        return sum_features(self.log_density(z * ops.exp(-log_scale)) - log_scale)

    @in_own_precision
    def sample(self, shape: Shape, seed: Any = None, temperature: float = 1.0) -> Tensor:
        """Draws of z, their distance from 0 multiplied by `temperature`."""
        z = temperature * self.draw(shape, seed)
        return z * ops.exp(self.log_scale) if self.trained_scale else z

    def call(self, z):
        return self.log_prob(z)

    def get_config(self):
        return {**super().get_config(), "trained_scale": self.trained_scale, **self.settings}


@keras.saving.register_keras_serializable(package="partita")
class Normal(Distribution):
    """log p(z) = −½ z² − ½ log 2π.

    Args:
        trained_scale: See `Distribution`.

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(Normal()(np.zeros((1, 2))))
        array([-1.838], dtype=float32)
    """

    def log_density(self, z):
        return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)

    def draw(self, shape, seed):
        return keras.random.normal(shape, dtype=self.compute_dtype, seed=seed)


@keras.saving.register_keras_serializable(package="partita")
class Logistic(Distribution):
    """Logistic distribution, log p(z) = −z − 2 log(1 + exp(−z)).

    NICE's paper takes it: its tails are longer than a normal's.

    Args:
        trained_scale: See `Distribution`.

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(Logistic()(np.zeros((1, 2))))
        array([-2.773], dtype=float32)
    """

    def log_density(self, z):
        return -ops.softplus(z) - ops.softplus(-z)

    def draw(self, shape, seed):
        # Short of 0 and 1 by what float32 can tell from them.
        u = keras.random.uniform(shape, 2.0**-24, 1.0 - 2.0**-24, dtype=self.compute_dtype, seed=seed)
        return ops.log(u) - ops.log1p(-u)


@keras.saving.register_keras_serializable(package="partita")
class StudentT(Distribution):
    """log p(z) = −½(ν + 1) log(1 + z²/ν) + constant: polynomial tails, for data with outliers.

    Args:
        degrees: ν, above 0.
        trained_scale: See `Distribution`.

    Raises:
        ValueError: if `degrees` is not above 0.

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(StudentT(degrees=1.0)(np.zeros((1, 2))))
        array([-2.289], dtype=float32)
    """

    def __init__(self, degrees: float = 5.0, trained_scale: bool = False, **kwargs: Any):
        super().__init__(trained_scale, **kwargs)
        self.degrees = positive("degrees", degrees)
        self.settings = {"degrees": degrees}

    def log_density(self, z):
        half = (self.degrees + 1) / 2
        constant = math.lgamma(half) - math.lgamma(self.degrees / 2) - 0.5 * math.log(self.degrees * math.pi)
        # Far out the square would overflow, and the density of a draw be 0: log(1 + z²/ν) is log z²/ν there.
        size = ops.abs(z) / math.sqrt(self.degrees)
        is_far = size > _FAR
        near = ops.log1p(ops.square(ops.where(is_far, 0.0, size)))
        return constant - half * ops.where(is_far, 2 * ops.log(ops.maximum(size, _FAR)), near)

    def draw(self, shape, seed):
        # two draws must not repeat each other
        seeds = keras.random.SeedGenerator(seed) if isinstance(seed, int) else seed
        normal = keras.random.normal(shape, dtype=self.compute_dtype, seed=seeds)
        chi_squared = 2 * keras.random.gamma(shape, self.degrees / 2, dtype=self.compute_dtype, seed=seeds)
        return normal * ops.sqrt(self.degrees / ops.maximum(chi_squared, 1e-30))

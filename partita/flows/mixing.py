"""What stands between couplings, so that every feature gets to move: reorderings, rotations, scales.

y = x[order],   y = W x,   y = (x − b) / s:   log|det| = 0, log|det W|, −Σ log s
"""

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import scipy.linalg
from keras import ops

from partita.flows.bijection import Bijection, no_change, positive
from partita.types import Tensor


def _for_all(log_det, x):
    """The log-determinant of one place, for all places of an image and all rows, `(batch,)`."""
    places = int(np.prod(x.shape[1:-1]))
    return ops.broadcast_to(places * log_det, ops.shape(x)[:1])


@keras.saving.register_keras_serializable(package="partita")
class Reverse(Bijection):
    """Turn round the order of the features (of the channels, for an image).

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(Reverse().forward_and_log_det(np.array([[1.0, 2.0, 3.0]]))[0])
        array([[3., 2., 1.]], dtype=float32)
    """

    rearranges = True

    def forward_and_log_det(self, x, context=None):
        return ops.flip(x, axis=-1), no_change(x)

    def inverse_and_log_det(self, y, context=None):
        return ops.flip(y, axis=-1), no_change(y)


@keras.saving.register_keras_serializable(package="partita")
class Permutation(Bijection):
    """Put the features (the channels, for an image) into another order, once and for all.

    Args:
        order: y[i] = x[order[i]]. None draws an order with `seed`.
        seed: Integer; None takes one from Keras's global seed.

    Raises:
        ValueError: if `order` is no order of the features.

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(Permutation([2, 0, 1]).forward_and_log_det(np.array([[1.0, 2.0, 3.0]]))[0])
        array([[3., 1., 2.]], dtype=float32)
    """

    rearranges = True

    def __init__(self, order: Sequence[int] | None = None, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.order = None if order is None else [int(place) for place in order]
        self.seed = random.randrange(2**31) if seed is None else seed

    def build(self, x_shape):
        features = x_shape[-1]
        order = self.order
        if order is None:
            order = np.random.default_rng(self.seed).permutation(features).tolist()
        if sorted(order) != list(range(features)):
            raise ValueError(f"order must hold 0 to {features - 1} once each, got {order}")
        self._order, self._back = np.array(order, "int32"), np.argsort(order).astype("int32")

    def forward_and_log_det(self, x, context=None):
        return ops.take(x, self._order, axis=-1), no_change(x)

    def inverse_and_log_det(self, y, context=None):
        return ops.take(y, self._back, axis=-1), no_change(y)

    def get_config(self):
        return {**super().get_config(), "order": self.order, "seed": self.seed}


class Linear(Bijection):
    """y = W x at every place: what the two forms of W share."""

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = random.randrange(2**31) if seed is None else seed

    @abstractmethod
    def matrix(self) -> Tensor:
        """W, `(features, features)`."""

    @abstractmethod
    def inverse_matrix(self) -> Tensor:
        """The inverse of W."""

    @abstractmethod
    def log_abs_det(self) -> Tensor:
        """log|det W|, a number."""

    def forward_and_log_det(self, x, context=None):
        return ops.matmul(x, ops.transpose(self.matrix())), _for_all(self.log_abs_det(), x)

    def inverse_and_log_det(self, y, context=None):
        return ops.matmul(y, ops.transpose(self.inverse_matrix())), _for_all(-self.log_abs_det(), y)

    def _weight(self, name, value, trainable=True):
        def start(shape, dtype):
            return ops.convert_to_tensor(value, dtype)

        return self.add_weight(name=name, shape=value.shape, trainable=trainable, initializer=start)

    def _rotation(self, features):
        return scipy.linalg.qr(np.random.default_rng(self.seed).normal(size=(features, features)))[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="partita")
class InvertibleConv1x1(Linear):
    """A 1×1 convolution that can be inverted, W = P L (U + diag(s)), trained from a random rotation.

    On vectors it is a dense layer.

    Args:
        seed: Integer, of the rotation; None takes one from Keras's global seed.

    Source: Glow, Kingma and Dhariwal 2018, eq. 10; log|det W| = Σ log|s| costs nothing.

    Example:
        >>> import numpy as np
        >>> y, log_det = InvertibleConv1x1(seed=0).forward_and_log_det(np.ones((2, 4, 4, 3)))
        >>> tuple(y.shape), np.allclose(ops.convert_to_numpy(log_det), 0, atol=1e-4)
        ((2, 4, 4, 3), True)
    """

    def build(self, x_shape):
        P, L, U = scipy.linalg.lu(self._rotation(x_shape[-1]))
        self.permutation = self._weight("permutation", P, trainable=False)
        self.sign = self._weight("sign", np.sign(np.diag(U)), trainable=False)
        self.log_scale = self._weight("log_scale", np.log(np.abs(np.diag(U))))
        self.lower = self._weight("lower", np.tril(L, -1))
        self.upper = self._weight("upper", np.triu(U, 1))

    def _factors(self):
        one = ops.eye(self.sign.shape[0], dtype=self.compute_dtype)
        lower = ops.tril(self.lower + 0.0, -1) + one
        upper = ops.triu(self.upper + 0.0, 1) + one * (self.sign * ops.exp(self.log_scale))
        return lower, upper, one

    def matrix(self):
        lower, upper, _ = self._factors()
        return ops.matmul(self.permutation, ops.matmul(lower, upper))

    def inverse_matrix(self):
        lower, upper, one = self._factors()
        inner = ops.solve_triangular(lower, one, lower=True)
        return ops.matmul(ops.solve_triangular(upper, inner, lower=False), ops.transpose(self.permutation))

    def log_abs_det(self):
        return ops.sum(self.log_scale)


@keras.saving.register_keras_serializable(package="partita")
class InvertibleDense(Linear):
    """Invertible linear map by a dense matrix, the twin of `InvertibleConv1x1`.

    W itself is trained, and its determinant is computed, at a cost of features³.

    Args:
        seed: Integer, of the rotation that W starts as; None takes one from Keras's global seed.

    Source: Glow, Kingma and Dhariwal 2018, section 3.2.

    Example:
        >>> import numpy as np
        >>> y, log_det = InvertibleDense(seed=0).forward_and_log_det(np.ones((2, 3)))
        >>> tuple(y.shape), np.allclose(ops.convert_to_numpy(log_det), 0, atol=1e-4)
        ((2, 3), True)
    """

    def build(self, x_shape):
        self.kernel = self._weight("kernel", self._rotation(x_shape[-1]))

    def matrix(self):
        return ops.cast(self.kernel, self.compute_dtype)  # what is assigned outside of JAX's x64 is float32

    def inverse_matrix(self):
        return ops.linalg.inv(self.matrix())

    def log_abs_det(self):
        return ops.slogdet(self.matrix())[1]


@keras.saving.register_keras_serializable(package="partita")
class Scaling(Bijection):
    """Scale every feature by a trained factor: y = x · exp(log_scale).

    After training on a standard latent, 1 / exp(log_scale) is how far the data reach along each latent
    dimension: see `importance`.

    Args:
        learning_rate_factor: The logarithms of the scales learn this many times as fast as the optimizer's
            learning rate says. They have a long way to go, about log 1/0.003 for a pixel that is always black
            but for noise, and at a thousandth a step would take most of a training to get there.

    Raises:
        ValueError: if the factor is not above 0.

    Source: NICE, Dinh et al. 2014, section 3.3.

    Example:
        >>> import numpy as np
        >>> y, log_det = Scaling().forward_and_log_det(np.ones((1, 2)))
        >>> ops.convert_to_numpy(y), ops.convert_to_numpy(log_det)
        (array([[1., 1.]], dtype=float32), array([0.], dtype=float32))
    """

    def __init__(self, learning_rate_factor: float = 10.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.learning_rate_factor = positive("learning_rate_factor", learning_rate_factor)

    def build(self, x_shape):
        self._weight = self.add_weight(name="log_scale", shape=x_shape[1:], initializer="zeros")

    @property
    def log_scale(self) -> Tensor:
        """Logarithms of the factors, of the shape of a row of x."""
        # factor · weight with the gradient of weight: a step of any optimizer is then a step of factor times
        # its size.
        weight = ops.cast(self._weight, self.compute_dtype)
        return weight + ops.stop_gradient((self.learning_rate_factor - 1.0) * weight)

    def forward_and_log_det(self, x, context=None):
        log_scale = self.log_scale
        return x * ops.exp(log_scale), no_change(x) + ops.sum(log_scale)

    def inverse_and_log_det(self, y, context=None):
        log_scale = self.log_scale
        return y * ops.exp(-log_scale), no_change(y) - ops.sum(log_scale)

    def get_config(self):
        return {**super().get_config(), "learning_rate_factor": self.learning_rate_factor}


class _FirstBatch(keras.layers.Layer):
    """Mean and standard deviation of each channel in the first batch of the training; 0 and 1 before."""

    def build(self, x_shape):
        features = (x_shape[-1],)
        self.mean = self.add_weight(name="zeros", shape=features, initializer="zeros", trainable=False)
        self.deviation = self.add_weight(name="ones", shape=features, initializer="ones", trainable=False)
        self.seen = self.add_weight(name="seen", shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=None):
        if not training:
            return self.mean + 0.0, self.deviation + 0.0

        def measured():
            axes = tuple(range(len(x.shape) - 1))
            fixed = ops.stop_gradient(x)
            return ops.mean(fixed, axis=axes), ops.maximum(ops.std(fixed, axis=axes), 1e-3)

        mean, deviation = ops.cond(self.seen > 0.5, lambda: (self.mean + 0.0, self.deviation + 0.0), measured)
        self.mean.assign(mean)
        self.deviation.assign(deviation)
        self.seen.assign(1.0)
        return mean, deviation


@keras.saving.register_keras_serializable(package="partita")
class ActNorm(Bijection):
    """Activation normalisation: scale and shift each feature (each channel, for an image) by trained numbers.

    The first batch of the training decides where they start: it leaves with mean 0 and standard deviation 1.
    Before, this is the identity.

    Source: Glow, Kingma and Dhariwal 2018, section 3.1.

    Example:
        >>> import numpy as np
        >>> norm, x = ActNorm(), np.array([[1.0], [3.0]])
        >>> ops.convert_to_numpy(norm(x, training=True)[0])
        array([[-1.], [ 1.]], dtype=float32)
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.first_batch = _FirstBatch(dtype=self.compute_dtype, name="first_batch")

    def build(self, x_shape):
        self.first_batch.build(x_shape)
        self.log_scale = self.add_weight(name="log_scale", shape=(x_shape[-1],), initializer="zeros")
        self.shift = self.add_weight(name="shift", shape=(x_shape[-1],), initializer="zeros")

    def forward_and_log_det(self, x, context=None):
        mean, deviation = self.first_batch(x)
        log_scale = ops.cast(self.log_scale, x.dtype) - ops.log(ops.cast(deviation, x.dtype))
        return (x - mean) * ops.exp(log_scale) + self.shift, _for_all(ops.sum(log_scale), x)

    def inverse_and_log_det(self, y, context=None):
        log_scale = ops.cast(self.log_scale, y.dtype) - ops.log(ops.cast(self.first_batch.deviation, y.dtype))
        x = (y - self.shift) * ops.exp(-log_scale) + self.first_batch.mean
        return x, _for_all(-ops.sum(log_scale), y)

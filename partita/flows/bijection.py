"""A bijection with its log-determinant, and bijections made of others.

z = f(x),   log q(x) = log p(z) + log|det ∂f/∂x|,   log|det| of a chain = the sum of those of its links
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import signature
from typing import Any

import keras
from keras import ops

from partita.backend import double_precision
from partita.types import Tensor

Shape = tuple[Any, ...]  # None is a size that is not known yet


class OwnPrecision(keras.layers.Layer):
    """A layer that computes in float32, or in float64 if that is its dtype, whatever the policy."""

    def __init__(self, dtype: Any = None, **kwargs: Any):
        policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
        super().__init__(dtype="float64" if policy.variable_dtype == "float64" else "float32", **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with precision(self.compute_dtype):
            return super().__call__(*args, **kwargs)


class HoldsParts:
    """A Keras object that is saved with others in its config."""

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


class Bijection(OwnPrecision, ABC):
    """An invertible map from data to latent space: the contract of every piece of a flow.

    A new one is a class with two methods; weights, if any, are made in `build(x_shape)` or
    `build(x_shape, context_shape=None)` as in any Keras layer. Either method may leave out `context` if it
    has no use for it. One that changes the shape also overrides `compute_output_shape(x_shape)`. Tensors come
    in, and log-determinants go out, in float32 whatever the policy of mixed precision says (in float64 if the
    layer's dtype is float64, on JAX whatever `jax_enable_x64` says); nets inside keep to the policy they were
    made with.

    Calling `bijection(x, context)` is `forward_and_log_det`. An unbuilt bijection is built on the first x it
    sees. `domain` is the interval that data must lie in, and `image` the one of what they are mapped to: all
    numbers unless the class or its constructor sets others. `rearranges` says that the numbers of x only
    change places.

    Raises:
        ValueError: if x has no axis of features, or a bijection that changes the shape is to invert before it
            was built.

    Example:
        >>> class Doubling(Bijection):
        ...     def forward_and_log_det(self, x):
        ...         return 2 * x, ops.full(ops.shape(x)[:1], x.shape[1] * np.log(2))
        ...
        ...     def inverse_and_log_det(self, y):
        ...         return y / 2, ops.full(ops.shape(y)[:1], -y.shape[1] * np.log(2))
        >>> import numpy as np
        >>> y, log_det = Doubling().forward_and_log_det(np.ones((2, 3)))
        >>> ops.convert_to_numpy(log_det)
        array([2.079, 2.079], dtype=float32)
    """

    domain = image = (-math.inf, math.inf)
    rearranges = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in ("forward_and_log_det", "inverse_and_log_det"):
            if name in vars(cls) and not getattr(vars(cls)[name], "__isabstractmethod__", False):
                setattr(cls, name, _prepared(vars(cls)[name]))
        if "build" in vars(cls):
            cls.build = in_own_precision(vars(cls)["build"])

    @abstractmethod
    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the latent y of data x, and the log-determinant of the Jacobian.

        Data are `(batch, ...)`, the context that they are given `(batch, features)`, log|det ∂y/∂x| is
        `(batch,)`.
        """

    @abstractmethod
    def inverse_and_log_det(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Data x, and log|det ∂x/∂y| `(batch,)`, of latent y."""

    def call(self, x, context=None):
        return self.forward_and_log_det(x, context)


def precision(dtype: str) -> AbstractContextManager:
    """Where numbers of that dtype keep it, in every operation of Keras and on every backend."""
    return double_precision() if dtype == "float64" else nullcontext()


def in_own_precision(method: Callable) -> Callable:
    """The method of a layer, where numbers of the layer's dtype keep it."""

    @wraps(method)
    def run(self, *args, **kwargs):
        with precision(self.compute_dtype):
            return method(self, *args, **kwargs)

    return run


def _prepared(method: Callable) -> Callable:
    """The method with tensors of the layer's dtype going in and coming out, after the layer was built."""
    takes_context = "context" in signature(method).parameters

    @wraps(method)
    def run(self, x, context=None):
        name = type(self).__name__
        x = ops.cast(ops.convert_to_tensor(x), self.compute_dtype)
        context = None if context is None else ops.cast(ops.convert_to_tensor(context), self.compute_dtype)
        if len(x.shape) < 2:
            wanted = "(batch, ...) with one axis of features or more"
            raise ValueError(f"{name} wants {wanted}, got the shape {tuple(x.shape)}")
        if not self.built:
            if method.__name__ == "inverse_and_log_det" and _changes_shape(self):
                raise ValueError(f"{name} changes the shape: build it on that of x before it inverts")
            build(self, x.shape, None if context is None else context.shape)
        y, log_det = method(self, x, context) if takes_context else method(self, x)
        return y, ops.cast(log_det, self.compute_dtype)

    return in_own_precision(run)


def build(bijection: Bijection, x_shape: Shape, context_shape: Shape | None = None) -> Shape:
    """Build a bijection that is not yet, and tell the shape of what it maps x to."""
    x_shape = (None, *x_shape[1:])
    if not bijection.built:
        shapes = [x_shape]
        if context_shape is not None and "context_shape" in signature(bijection.build).parameters:
            shapes.append((None, *context_shape[1:]))
        bijection.build(*shapes)
    return output_shape(bijection, x_shape)


def output_shape(bijection: Bijection, x_shape: Shape) -> Shape:
    """The shape of what a built bijection maps x to."""
    return tuple(bijection.compute_output_shape(x_shape)) if _changes_shape(bijection) else tuple(x_shape)


def _changes_shape(bijection: Bijection) -> bool:
    return type(bijection).compute_output_shape is not keras.layers.Layer.compute_output_shape


def positive(name: str, value: float) -> float:
    """Return the value of an argument that must be above 0.

    Raises:
        ValueError: if it is not.
    """
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return value


def sum_features(x: Tensor) -> Tensor:
    """The sum over all axes but the first, `(batch,)`."""
    return ops.sum(x, axis=tuple(range(1, len(x.shape))))


def within(x: Tensor, low: float, high: float) -> Tensor:
    """Limit x to [low, high].

    NaN stays, and the bounds have the dtype of x, neither of which `ops.clip` does on every backend.
    """
    low, high = (ops.convert_to_tensor(bound, x.dtype) for bound in (low, high))
    return ops.where(x < low, low, ops.where(x > high, high, x))


def no_change(x: Tensor) -> Tensor:
    """The log-determinant of what keeps volumes, `(batch,)`."""
    return ops.zeros(ops.shape(x)[:1], x.dtype)


@keras.saving.register_keras_serializable(package="partita")
class Chain(HoldsParts, Bijection):
    """Bijections one after another: the first sees the data, the last gives the latent.

    Args:
        bijections: At least one.

    Raises:
        ValueError: if there is none, or one is no `Bijection`.

    Example:
        >>> import numpy as np
        >>> from partita.flows import Reverse, Scaling
        >>> y, log_det = Chain([Scaling(), Reverse()]).forward_and_log_det(np.array([[1.0, 2.0]]))
        >>> ops.convert_to_numpy(y), ops.convert_to_numpy(log_det)
        (array([[2., 1.]], dtype=float32), array([0.], dtype=float32))
    """

    def __init__(self, bijections: Sequence[Bijection], **kwargs: Any):
        super().__init__(**kwargs)
        if not bijections or not all(isinstance(link, Bijection) for link in bijections):
            raise ValueError(f"bijections must be one Bijection or more, got {bijections!r}")
        self.bijections = list(bijections)
        moving = [link for link in bijections if not link.rearranges]
        self.rearranges = not moving
        if moving:
            self.domain, self.image = moving[0].domain, moving[-1].image

    def build(self, x_shape, context_shape=None):
        for bijection in self.bijections:
            x_shape = build(bijection, x_shape, context_shape)

    def compute_output_shape(self, x_shape):
        for bijection in self.bijections:
            x_shape = output_shape(bijection, x_shape)
        return x_shape

    def forward_and_log_det(self, x, context=None):
        total = no_change(x)
        for bijection in self.bijections:
            x, log_det = bijection.forward_and_log_det(x, context)
            total = total + log_det
        return x, total

    def inverse_and_log_det(self, y, context=None):
        total = no_change(y)
        for bijection in reversed(self.bijections):
            y, log_det = bijection.inverse_and_log_det(y, context)
            total = total + log_det
        return y, total

    def get_config(self):
        return {**super().get_config(), "bijections": keras.saving.serialize_keras_object(self.bijections)}


@keras.saving.register_keras_serializable(package="partita")
class Inverse(HoldsParts, Bijection):
    """Inverse of a bijection that keeps the shape.

    That of a masked autoregressive one is an inverse autoregressive one.

    Args:
        bijection: What to invert.

    Raises:
        ValueError: if it changes the shape.

    Example:
        >>> import numpy as np
        >>> from partita.flows import Logit
        >>> y, _ = Inverse(Logit()).forward_and_log_det(np.zeros((1, 2)))
        >>> ops.convert_to_numpy(y)
        array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, bijection: Bijection, **kwargs: Any):
        super().__init__(**kwargs)
        self.bijection = bijection
        self.domain, self.image, self.rearranges = bijection.image, bijection.domain, bijection.rearranges

    def build(self, x_shape, context_shape=None):
        if build(self.bijection, x_shape, context_shape) != (None, *x_shape[1:]):
            got = f"{type(self.bijection).__name__} on {x_shape}"
            raise ValueError(f"bijection must keep the shape to be run backwards, got {got}")

    def forward_and_log_det(self, x, context=None):
        return self.bijection.inverse_and_log_det(x, context)

    def inverse_and_log_det(self, y, context=None):
        return self.bijection.forward_and_log_det(y, context)

    def get_config(self):
        return {**super().get_config(), "bijection": keras.saving.serialize_keras_object(self.bijection)}

"""The field as the solver calls it: in its own time, driven by inputs, and on the right side of a jump."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.ode.clock import Clock
from partita.ode.steps import FieldFrom
from partita.types import Tensor


class Driven:
    """The field as the solver sees it: dy/dτ in the solver's time, with what drives it."""

    def __init__(self, call: Callable[..., Tensor], clock: Clock, driven: tuple):
        self.call = call
        self.clock = clock
        self.knots = clock.rounded(clock.elapsed) if driven else None

    def stops(self, method: str) -> np.ndarray:
        """Return the times at which a step must end.

        dopri5 reads output times off an interpolant, rodas4 has no good one.
        """
        return self.clock.stops(at_times=method != "dopri5" or self.knots is not None)

    def slope(self, elapsed: Tensor, y: Tensor, piece: Tensor | None, *driven: Tensor) -> Tensor:
        """dy/dτ at a scalar τ in a piece between break points, driven by inputs `(..., time, features)`."""
        given = [_interpolated(self.knots, inputs, elapsed) for inputs in driven]
        with self.clock.precision():
            t = self.clock.seen(elapsed, piece)
            state = y
            if self.clock.wide and keras.backend.backend() == "tensorflow":
                state, *given = (ops.cast(x, "float64") for x in (y, *given))
            slope = _same_shape(self.call(t, state, *given), y)
        return slope if self.clock.sign > 0 else -slope

    def together(self, *driven: Tensor) -> FieldFrom:
        """From the start of a step, a scalar, to the field of all samples."""

        def field_from(start):
            piece = self.clock.piece(start)
            return lambda elapsed, y: self.slope(elapsed, y, piece, *driven)

        return field_from

    def apart(self, *driven: Tensor) -> FieldFrom:
        """Return a function from the starts of steps, `(batch, 1)`, to the field.

        The field sees one sample at a time, as a batch of one.
        """

        def field_from(start):
            piece = self.clock.piece(start[:, 0])
            pieces = () if piece is None else (piece,)

            def one(sample):
                elapsed, y, *rest = sample
                of_piece = rest.pop(0) if pieces else None
                return self.slope(elapsed[0], y[None], of_piece, *(inputs[None] for inputs in rest))[0]

            return lambda elapsed, y: ops.vectorized_map(one, (elapsed, y, *pieces, *driven))

        return field_from


def refuse_complex(dtype: str, what: str) -> None:
    """Raise a ValueError if a dtype is complex.

    Example:
        >>> refuse_complex("float32", "y0")
    """
    if dtype.startswith("complex"):
        raise ValueError(
            f"{what} must be real, got {dtype}: solve for the real and the imaginary part as two states"
        )


def _interpolated(knots: np.ndarray | None, inputs: Tensor, elapsed: Tensor) -> Tensor:
    """Inputs `(..., features)` at τ, linear between the times."""
    places = ops.convert_to_tensor(knots, inputs.dtype)
    row = ops.sum(ops.cast(elapsed >= places[1:-1], "int32"))
    left, right = ops.take(places, row), ops.take(places, row + 1)
    share = (elapsed - left) / (right - left)
    return (1 - share) * ops.take(inputs, row, axis=-2) + share * ops.take(inputs, row + 1, axis=-2)


def knows_time(field: Any) -> bool:
    """Return whether a field is called with the time: a function, or a layer whose `call` begins with `t`.

    Example:
        >>> knows_time(keras.layers.Dense(1))
        False
    """
    is_layer = isinstance(field, keras.layers.Layer)
    return not is_layer or next(iter(inspect.signature(field.call).parameters), None) == "t"


def as_field(field: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the field as a function `(t, y)` or `(t, y, u)`.

    Keras layers and models that know no time are given y, and u, alone.

    Raises:
        ValueError: if it cannot be called.
    """
    if not callable(field):
        raise ValueError(f"field must be a function, a Keras layer or a model, got {field!r}")
    if not knows_time(field):
        return lambda t, y, *driven: field([y, *driven]) if driven else field(y)
    return field


def check_layer_sees_time(field: Any, clock: Clock) -> None:
    """Keras casts what a layer is called with: a float32 layer would round a time that needs float64."""
    rounds = isinstance(field, keras.layers.Layer) and field.compute_dtype != "float64"
    if clock.wide and rounds and knows_time(field):
        raise ValueError(
            f"field must be a layer of dtype='float64' to tell times like {clock.origin!r} apart over "
            f"{clock.span:g}, got one of {field.compute_dtype}: or count the times from another zero"
        )


def _same_shape(slope, y):
    if not hasattr(slope, "shape") or not hasattr(slope, "dtype"):
        raise ValueError(
            f"field must return a tensor (stack its parts: ops.stack([...], axis=-1)), got a "
            f"{type(slope).__name__}"
        )
    if tuple(slope.shape) != tuple(y.shape):
        raise ValueError(f"field must return the shape of y, {tuple(y.shape)}, got {tuple(slope.shape)}")
    refuse_complex(keras.backend.standardize_dtype(slope.dtype), "what field returns")
    return ops.cast(slope, y.dtype)

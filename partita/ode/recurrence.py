"""A recurrent layer from its step function.

s_t, o_t = step(x_t, s_{t−1})
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from partita.types import Tensor

Shape = tuple[int, ...]


def recurrent(
    step_function: Callable[..., tuple[Tensor, Any]],
    state_shape: Shape | list[Shape],
    weights: dict[str, Shape] | None = None,
    return_sequences: bool = False,
    stateful: bool = False,
    **kwargs: Any,
) -> "Recurrent":
    """A recurrent Keras layer whose step is a function.

    Args:
        step_function: `(x, state)` → (output, new state): x `(batch, features)`, state and new state
            `(batch, *state_shape)`, or tuples of them. With `weights`, `(x, state, w)`.
        state_shape: The shape of a state without the batch, or a list of several.
        weights: Names and shapes of trained weights, which the step receives as a dict.
        return_sequences: Whether to return the outputs of all steps `(batch, time, ...)`, not of the last
            only.
        stateful: Whether a batch begins with the states in which the one before ended; `reset_state()` begins
            anew.
        **kwargs: Name, dtype and the like, as for every layer.

    Calling:
        `layer(x, initial_state=None, mask=None)`: x `(batch, time, features)`; at steps where the mask
            `(batch, time)` is False the
        states stay, and the output repeats the one before, which is 0 at first.

    Raises:
        ValueError: if the step does not return an output and states of the right shapes.

    Example:
        >>> import numpy as np
        >>> total = recurrent(lambda x, s: (s + x, s + x), (1,), return_sequences=True)
        >>> np.array(total(np.array([[[1.0], [2.0], [3.0]]])))[0, :, 0].tolist()
        [1.0, 3.0, 6.0]
    """
    return Recurrent(step_function, state_shape, weights, return_sequences, stateful, **kwargs)


@keras.saving.register_keras_serializable(package="partita")
class Recurrent(keras.layers.Layer):
    """The layer that `recurrent` makes, and takes the arguments of.

    Example:
        >>> layer = recurrent(lambda x, s: (s + x, s + x), (3,))
        >>> keras.Sequential([keras.Input((5, 3)), layer]).output_shape
        (None, 3)
    """

    def __init__(
        self,
        step_function: Callable[..., tuple[Tensor, Any]],
        state_shape: Shape | list[Shape],
        weights: dict[str, Shape] | None = None,
        return_sequences: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.step_function = step_function
        self.single = not state_shape or isinstance(state_shape[0], int)
        shapes: Any = [state_shape] if self.single else state_shape
        self.state_shapes = [tuple(shape) for shape in shapes]
        self.shapes = {name: tuple(shape) for name, shape in (weights or {}).items()}
        self.return_sequences = return_sequences
        self.stateful = stateful
        self.supports_masking = True
        self._step_weights = {
            name: self.add_weight(shape, "zeros" if len(shape) < 2 else "glorot_uniform", name=name)
            for name, shape in self.shapes.items()
        }
        self._kept: Any = None

    def build(self, input_shape):
        if self.stateful:
            if input_shape[0] is None:
                raise ValueError(
                    "a stateful layer needs to know its batch size: give the model's Input a batch_size"
                )
            self._kept = [
                self.add_weight((input_shape[0], *shape), "zeros", trainable=False, name=f"state_{i}")
                for i, shape in enumerate(self.state_shapes)
            ]

    def reset_state(self) -> None:
        """Begin anew with states of zeros."""
        for kept in self._kept or ():
            kept.assign(ops.zeros(kept.shape, kept.dtype))

    def _step(self, x, states):
        weights = {name: ops.convert_to_tensor(weight) for name, weight in self._step_weights.items()}
        given = (x, states[0] if self.single else states, *([weights] if weights else []))
        result = self.step_function(*given)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(f"step_function must return (output, new state), got a {type(result).__name__}")
        output, new = result
        new = (new,) if self.single else tuple(new)
        got, wanted = [tuple(state.shape) for state in new], [tuple(state.shape) for state in states]
        if got != wanted:
            raise ValueError(f"step_function must keep the shapes of the states, {wanted}, got {got}")
        return output, new

    def call(self, inputs, initial_state=None, mask=None):
        inputs = ops.convert_to_tensor(inputs)
        if initial_state is not None:
            states = (initial_state,) if self.single else tuple(initial_state)
        elif self._kept is not None:
            states = tuple(ops.convert_to_tensor(kept) for kept in self._kept)
        else:
            batch = ops.shape(inputs)[0]
            states = tuple(ops.zeros((batch, *shape), inputs.dtype) for shape in self.state_shapes)
        steps = ops.moveaxis(inputs, 1, 0)  # (time, batch, features)
        mask = ops.ones(ops.shape(inputs)[:2], "bool") if mask is None else ops.cast(mask, "bool")
        real = ops.transpose(mask)
        blank = ops.zeros_like(self._step(steps[0], states)[0])

        def advance(carry, moment):
            *states, before = carry
            x, is_real = (ops.take(part, moment, axis=0) for part in (steps, real))
            output, new = self._step(x, tuple(states))

            def choose(value, otherwise):
                return ops.where(ops.reshape(is_real, (-1, *[1] * (value.ndim - 1))), value, otherwise)

            output = choose(output, before)
            carry = (*map(choose, new, states), output)
            return carry, carry  # TensorFlow's scan puts out nothing else

        # TensorFlow's scan takes one tensor only where their number is unknown
        moments = ops.arange(ops.shape(steps)[0])
        (*states, last), (*_, outputs) = ops.scan(advance, (*states, blank), moments)
        if self._kept is not None:
            for kept, state in zip(self._kept, states, strict=True):
                kept.assign(state)
        return ops.moveaxis(outputs, 0, 1) if self.return_sequences else last

    def compute_mask(self, inputs, previous_mask=None):
        return previous_mask if self.return_sequences else None

    def get_config(self):
        return {
            **super().get_config(),
            "step_function": keras.saving.serialize_keras_object(self.step_function),
            "state_shape": self.state_shapes[0] if self.single else self.state_shapes,
            "weights": self.shapes,
            "return_sequences": self.return_sequences,
            "stateful": self.stateful,
        }

    @classmethod
    def from_config(cls, config):
        step_function = keras.saving.deserialize_keras_object(config["step_function"])
        return cls(**config | {"step_function": step_function})

"""The recurrent layer that is the solver: no training to solve forward, training to infer backward.

y_0 → (y(t_0), y(t_1), …, y(t_n)),   dy/dt = f(t, y; p)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from partita.backend import uncompiled
from partita.ode.clock import Clock, real_array
from partita.ode.solver import check_method, solve
from partita.types import Tensor


@keras.saving.register_keras_serializable(package="partita")
class Solve(keras.layers.Layer):
    """Solve dy/dt = field(t, y) from the layer's input: `(batch, state)` → `(batch, time, state)`.

    Args:
        field: `(t, y)` → dy/dt `(batch, state)`; see `solve`. A Keras layer or model trains with this one: a
            neural ODE.
        times: Rising or falling, `(time,)`; the first is that of the input.
        method, rtol, atol, dt, num_steps, max_steps, max_step, break_points, check: How to solve; see
            `solve`.
        parameters: If given, names and starting values of weights, and the field is `(t, y, p)` with p a dict
            of them.
        positive: Which of the parameters stay above 0: all by default, none if empty. Those are trained as
            their logarithms.
        initial: If given, a state `(state,)` that is trained: the input then adds to it, and may be zeros.

    Calling:
        `layer(y0)`, or `layer([y0, inputs])` where inputs `(batch, time, features)` drive the field,
        `(t, y, u)` or `(t, y, p, u)`.

    Raises:
        ValueError: if an argument does not fit. On saving: if the field is a function that is not registered
            with `keras.saving.register_keras_serializable`.

    Example:
        >>> path = Solve(lambda t, y: -y, [0.0, 0.5, 1.0])(np.array([[1.0], [2.0]]))
        >>> tuple(path.shape), round(float(path[1, 2, 0]), 3)
        ((2, 3, 1), 0.736)
    """

    def __init__(  # noqa: PLR0913 - options, each given by its name
        self,
        field: Callable[..., Tensor],
        times: npt.ArrayLike,
        *,
        method: str = "dopri5",
        rtol: float | None = None,
        atol: float | None = None,
        dt: float | None = None,
        num_steps: int | None = None,
        max_steps: int | None = None,
        max_step: float | None = None,
        break_points: npt.ArrayLike | None = None,
        check: bool = True,
        parameters: Mapping[str, Any] | None = None,
        positive: Sequence[str] | None = None,
        initial: npt.ArrayLike | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not callable(field):
            raise ValueError(f"field must be a function, a Keras layer or a model, got {field!r}")
        steps: dict[str, Any] = {"rtol": rtol, "atol": atol, "dt": dt, "num_steps": num_steps}
        steps |= {"max_steps": max_steps, "max_step": max_step}
        check_method(method, **steps)
        self.field = field
        self.times = Clock(times, "float64", break_points).times.tolist()
        jumps = None if break_points is None else np.ravel(np.asarray(break_points, "float64")).tolist()
        self.method: dict[str, Any] = {"method": method, **steps, "break_points": jumps, "check": check}
        given = {} if parameters is None else parameters
        start = {name: real_array(value, f"parameter {name!r}") for name, value in given.items()}
        self._start = None if parameters is None else start
        self.positive = [*(start if positive is None else positive)]
        if unknown := [name for name in self.positive if name not in start]:
            raise ValueError(f"positive must name parameters, got {unknown[0]!r}")
        self._initial = None if initial is None else real_array(initial, "initial")
        self._weights = {}
        for name, value in start.items():
            if name in self.positive and not (value > 0).all():
                raise ValueError(
                    f"parameter {name!r} must start above 0 to stay there, got {value.tolist()}; or leave "
                    f"it out of positive"
                )
            self._weights[name] = self._weight(name, np.log(value) if name in self.positive else value)
        if self._initial is not None:
            self._initial_weight = self._weight("initial", self._initial)

    def _weight(self, name, value):
        return self.add_weight(
            name=name, shape=value.shape, initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype)
        )

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters as the field sees them."""
        return {
            name: ops.exp(weight) if name in self.positive else weight + 0.0
            for name, weight in self._weights.items()
        }

    def build(self, input_shape):
        driven = isinstance(input_shape, list)
        if not driven and isinstance(self.field, keras.layers.Layer) and not self.field.built:
            self.field.build(input_shape)
        self.built = True

    def call(self, inputs):
        y0, driven = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        if self._initial is not None:
            y0 = y0 + self._initial_weight
        field = self.field
        if self._start is not None:
            values = self.parameters

            def field(t, y, *given):
                cast = {name: ops.cast(value, y.dtype) for name, value in values.items()}
                return self.field(t, y, cast, *given)

        return uncompiled(solve)(field, y0, self.times, inputs=driven, **self.method)

    def compute_output_shape(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape
        return (*shape[:-1], len(self.times), shape[-1])

    def compute_output_spec(self, inputs):
        y0 = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        return keras.KerasTensor(self.compute_output_shape(y0.shape), self.compute_dtype)

    def get_config(self):
        if not isinstance(self.field, keras.layers.Layer):
            registered = keras.saving.get_registered_name(self.field)
            if keras.saving.get_registered_object(registered) is None:
                raise ValueError(
                    "field must be a Keras layer or a function registered with "
                    f"keras.saving.register_keras_serializable to be saved, got {self.field!r}"
                )
        start = None if self._start is None else {name: it.tolist() for name, it in self._start.items()}
        return {
            **super().get_config(),
            "field": keras.saving.serialize_keras_object(self.field),
            "times": self.times,
            **self.method,
            "parameters": start,
            "positive": self.positive,
            "initial": None if self._initial is None else self._initial.tolist(),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"field": keras.saving.deserialize_keras_object(config["field"])})

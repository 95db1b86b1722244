"""From the state at the first time to the states at all times.

y(t_{i+1}) = Step ∘ … ∘ Step (y(t_i)),   as many steps as `substeps` says, or as the error allows
"""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from partita.backend import compiled, is_known
from partita.ode.adaptive import solve_adaptive
from partita.ode.steps import EMBEDDED, STEPS, Tensor


def solve(
    field: Callable[..., Tensor],
    y0: Tensor,
    times: npt.ArrayLike,
    step: str = "rk4",
    substeps: int = 1,
    inputs: Tensor | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = 1024,
    each: bool | None = None,
    check: bool = True,
) -> Tensor:
    """Solve dy/dt = field(t, y) from y0 at the first time.

    Gradients reach y0, the inputs and whatever the field holds, on every backend. With step control on JAX they can be taken
    backwards only (`jax.grad`, not `jax.jvp`), and the sizes of the steps are held fixed in them.

    Args:
        field: `(t, y)` → dy/dt of y's shape, t a scalar; a Keras layer or model is called with y alone, unless its `call` names
            its first argument `t`. With `inputs`, `(t, y, u)`, u `(..., features)`.
        y0: `(..., state)`, the state at `times[0]`.
        times: Rising or falling, `(time,)`.
        step: `"euler"`, `"midpoint"`, `"heun"`, `"rk4"`, `"dopri5"`; for stiff fields of few states `"rosenbrock_euler"`, `"rodas4"`.
        substeps: Steps between two times, where steps are fixed.
        inputs: What drives the field, `(..., time, features)`; between times it is interpolated linearly.
        rtol: If given, steps are as long as an error of `rtol · |y| + atol` allows, and `step` is `"dopri5"` or `"rodas4"`.
        atol: By default `rtol · 1e-3`.
        max_steps: With step control, steps taken at most.
        each: With step control, whether each sample has its own steps: fewer of them, at the price of mapping the field over the
            samples. By default so on JAX.
        check: Whether to look for numbers that are not finite, where the numbers are known.

    Returns:
        `(..., time, state)`; the first is y0.

    Raises:
        ValueError: if an argument does not fit the others.
        FloatingPointError: if the solution is not finite or `max_steps` ran out, with the time. Unchecked, and where the numbers
            are not known yet, as under `jax.jit`, the solution is NaN from that time on instead.

    Example:
        >>> float(solve(lambda t, y: -y, ops.ones((1, 1)), [0.0, 0.5, 1.0])[0, -1, 0])
        0.3681708
    """
    moments = check_times(times)
    y0 = ops.convert_to_tensor(y0)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(y0.dtype)):
        y0 = ops.cast(y0, keras.config.floatx())
    if ops.ndim(y0) < 1:
        raise ValueError("y0 must be (..., state), got a number")
    check_method(step, substeps, rtol, atol, max_steps)
    if inputs is not None:
        inputs = ops.cast(inputs, y0.dtype)
        if ops.ndim(inputs) != ops.ndim(y0) + 1 or inputs.shape[-2] != len(moments):
            raise ValueError(
                f"inputs must be (..., {len(moments)} times, features) for a y0 of {tuple(y0.shape)}, got {tuple(inputs.shape)}"
            )
    call, driven = as_field(field), () if inputs is None else (inputs,)
    if rtol is None:
        path = compiled(lambda y0, *driven: _fixed(call, y0, moments, STEPS[step], substeps, *driven))(y0, *driven)
        return _checked(path, moments) if check else path
    each = (keras.backend.backend() == "jax" if each is None else each) and ops.ndim(y0) > 1
    atol = 1e-3 * rtol if atol is None else atol
    path, reached = compiled(lambda y0, *driven: _controlled(call, y0, moments, step, rtol, atol, max_steps, each, *driven))(y0, *driven)
    return _checked(path, moments, reached, max_steps) if check else path


def _fixed(call, y0, moments, step, substeps, inputs=None):
    starts = np.repeat(moments[:-1], substeps) + np.tile(np.arange(substeps), len(moments) - 1) * np.repeat(
        np.diff(moments) / substeps, substeps
    )
    sizes = np.repeat(np.diff(moments) / substeps, substeps)
    drive = None if inputs is None else _drive(moments, inputs)

    def field(t, y):
        return _same_shape(call(t, y) if drive is None else call(t, y, drive(t)), y)

    def advance(y, moment):
        y = step(field, moment[0], y, moment[1])
        return y, y

    grid = ops.convert_to_tensor(np.stack([starts, sizes], axis=-1), y0.dtype)  # (steps, 2)
    _, path = ops.scan(advance, y0, grid)
    path = ops.concatenate([y0[None], path[substeps - 1 :: substeps]], axis=0)
    return ops.moveaxis(path, 0, -2)


def _controlled(call, y0, moments, step, rtol, atol, max_steps, each, inputs=None):
    shape = ops.shape(y0)
    if not each:
        drive = None if inputs is None else _drive(moments, inputs)

        def field(t, y):
            return _same_shape(call(t, y) if drive is None else call(t, y, drive(t)), y)

        path, reached = solve_adaptive(field, y0, moments, step, rtol, atol, max_steps, each)
        return ops.moveaxis(path, 0, -2), reached
    y0 = ops.reshape(y0, (-1, shape[-1]))
    driven = () if inputs is None else (ops.reshape(inputs, (-1, *inputs.shape[-2:])),)

    def field_of_one(sample):
        t, y, *given = sample  # y as a batch of one
        given = [_drive(moments, u[None])(t[0]) for u in given]
        return _same_shape(call(t[0], y[None], *given), y[None])[0]

    def field_of_each(t, y):
        return ops.vectorized_map(field_of_one, (t, y, *driven))

    path, reached = solve_adaptive(field_of_each, y0, moments, step, rtol, atol, max_steps, each)
    return ops.reshape(ops.moveaxis(path, 0, -2), (*shape[:-1], len(moments), shape[-1])), reached


def _drive(moments, inputs):
    """t → inputs `(..., features)`, linear between the times."""
    rising = moments if moments[-1] > moments[0] else -moments
    sign = 1.0 if rising is moments else -1.0
    knots = ops.convert_to_tensor(rising, inputs.dtype)

    def at(t):
        row = ops.sum(ops.cast(sign * t >= knots[1:-1], "int32"))
        left, right = ops.take(knots, row), ops.take(knots, row + 1)
        share = (sign * t - left) / (right - left)
        return (1 - share) * ops.take(inputs, row, axis=-2) + share * ops.take(inputs, row + 1, axis=-2)

    return at


def as_field(field: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The field as a function `(t, y)` or `(t, y, u)`: Keras layers and models that know no time are given y, and u, alone.

    Raises:
        ValueError: if it cannot be called.
    """
    if not callable(field):
        raise ValueError(f"field must be a function, a Keras layer or a model, got {field!r}")
    if isinstance(field, keras.layers.Layer) and next(iter(inspect.signature(field.call).parameters), None) != "t":
        return lambda t, y, *driven: field([y, *driven]) if driven else field(y)
    return field


def _same_shape(slope, y):
    if isinstance(slope, (list, tuple)):
        raise ValueError(f"field must return a tensor (stack its parts: ops.stack([...], axis=-1)), got a {type(slope).__name__}")
    if tuple(slope.shape) != tuple(y.shape):
        raise ValueError(f"field must return the shape of y, {tuple(y.shape)}, got {tuple(slope.shape)}")
    return ops.cast(slope, y.dtype)


def check_times(times: npt.ArrayLike) -> np.ndarray:
    """The times as float64.

    Raises:
        ValueError: if there are less than two, or they neither rise nor fall throughout.
    """
    moments = np.asarray(times, "float64")
    if moments.ndim != 1 or len(moments) < 2:
        raise ValueError(f"times must be a row of two or more, got the shape {moments.shape}")
    differences = np.diff(moments)
    direction = np.sign(moments[-1] - moments[0]) or 1.0
    if bad := [*np.flatnonzero(~(direction * differences > 0) | ~np.isfinite(differences))]:
        raise ValueError(
            f"times must rise, or fall, throughout and be finite, got {moments[bad[0]]:g} before {moments[bad[0] + 1]:g} at {bad[0] + 1}"
        )
    return moments


def check_method(step: str, substeps: int, rtol: float | None, atol: float | None, max_steps: int) -> None:
    """Raise a ValueError unless the arguments of `solve` that choose a method fit together."""
    known = STEPS if rtol is None else EMBEDDED
    if step not in known:
        raise ValueError(f"step must be one of {', '.join(known)}{' where rtol is given' * (rtol is not None)}, got {step!r}")
    if substeps < 1 or (rtol is not None and substeps > 1):
        raise ValueError(f"substeps must be at least 1, and is no use where rtol is given, got {substeps}")
    if rtol is None and atol is not None:
        raise ValueError("atol needs an rtol beside it: without one, steps are fixed")
    if rtol is not None and not (rtol > 0 and (atol is None or atol >= 0)):
        raise ValueError(f"rtol must be above 0 and atol not below, got {rtol} and {atol}")
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")


def _checked(path: Tensor, moments: np.ndarray, reached: Any = None, max_steps: int = 0) -> Tensor:
    if not is_known(path):
        return path
    finite = ops.convert_to_numpy(ops.all(ops.isfinite(path), axis=-1)).reshape(-1, len(moments)).all(axis=0)
    if finite.all():
        return path
    where = int(np.argmin(finite))
    if reached is None or where == 0:
        raise FloatingPointError(
            f"the solution is not finite at t = {moments[where]:g}: the field leaves its domain there, or the step is too long for it"
        )
    times = np.ravel(ops.convert_to_numpy(reached))
    first = times.min() if moments[-1] > moments[0] else times.max()
    raise FloatingPointError(
        f"the solution stops at t = {first:g}: the field leaves its domain there, or is so stiff or so long that "
        f"max_steps = {max_steps} are too few (step='rodas4' is for stiff fields)"
    )

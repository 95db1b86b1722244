"""From the state at the first time to the states at all times.

y(t_{i+1}) = Step ∘ … ∘ Step (y(t_i)),   as many steps as the error allows, or as one says
"""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from partita.backend import compiled, is_known
from partita.ode.adaptive import Control, solve_adaptive
from partita.ode.clock import Clock
from partita.ode.field import Driven, as_field, check_layer_sees_time, knows_time, refuse_complex
from partita.ode.fixed import Grid, solve_fixed
from partita.ode.outcome import Solution, ToleranceWarning, raise_unless_solved, warn_if_coarse, with_status
from partita.ode.steps import EMBEDDED, STEPS, Step
from partita.types import Tensor

RTOL = 1e-6
FIXED_ONLY = " where steps are controlled: give num_steps= or dt= for fixed steps"
PART = 50  # of the time, the longest step by default
# max_steps by default: as many as have room in so many bytes, within limits
FEWEST, MOST, BYTES = (1024, 4096, 2**24)


def solve(  # noqa: PLR0913 - options, each given by its name
    field: Callable[..., Tensor],
    y0: Tensor,
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
    inputs: Tensor | None = None,
    each: bool = False,
    check: bool = True,
    throw: bool = True,
) -> Any:
    """Solve dy/dt = field(t, y) from y0 at the first time.

    Steps are as long as an error of `rtol · |y| + atol` a step allows. `dt` or `num_steps` ask for fixed
    steps instead.

    Gradients reach y0, the inputs and whatever the field holds, on every backend. With step control the sizes
    of the steps are held fixed in them. On JAX `jax.jvp`, `jax.jacfwd` and `jax.hessian` work as well as
    `jax.grad`; a gradient of a gradient needs `num_steps`.

    **Tolerances.** By default `rtol` is 1e-6 and `atol` a thousandth of `rtol`, for float32 and float64
    states alike. A float32 state holds seven digits: an `rtol` below 9.5e-7, eight roundings, cannot be met
    and is raised to that with a `ToleranceWarning` (1.8e-15 for float64). Float64 stays float64 on JAX within
    `partita.backend.double_precision()`. States of half precision are solved for in float32; integers become
    floats.

    **Time** is counted from `times[0]`, so that no digits are lost of Julian days or Unix seconds. Where the
    times are more than 16 times larger than their span, and the states are not float64, the field is given t
    in float64; what it returns is cast back. On TensorFlow, whose operators do not mix precisions, y and the
    inputs are then float64 as well.

    **What drives the field.** A pulse shorter than a step may go unseen: steps are chosen from the start,
    before anything happens. By default no step is longer than a fiftieth of the time. Say `max_step` for
    shorter pulses, or `break_points` where times are known at which the field jumps. With `inputs` a step
    ends at every time, so that none is skipped.

    Args:
        field: `(t, y)` → dy/dt of y's shape, t a scalar; a Keras layer or model is called with y alone,
            unless its `call` names its first argument `t`. With `inputs`, `(t, y, u)`, u `(..., features)`.
        y0: `(..., state)`, the state at `times[0]`; real.
        times: Rising or falling, `(time,)`.
        method: With step control `"dopri5"`, or `"rodas4"` for stiff fields of few states. With fixed steps
            also `"euler"`, `"midpoint"`, `"heun"`, `"rk4"`, and `"rosenbrock_euler"` for stiff fields.
        rtol: Error allowed in a step, relative to the state.
        atol: Error allowed beside it.
        dt: Take fixed steps, none longer than this.
        num_steps: Take so many fixed steps between two times.
        max_steps: With step control, steps taken at most. On JAX room is made for all of them. By default as
            many as have room in 16 MiB, within 1024 and 4096, and four for each time at which a step has to
            end.
        max_step: With step control, the longest step. By default a fiftieth of the time; unbounded where the
            field is a layer that knows no time.
        break_points: Times at which the field jumps, a number or a row. Steps end there, and the field is
            evaluated on the side of them to which the step belongs.
        inputs: What drives the field, `(..., time, features)`; between times it is interpolated linearly.
        each: With step control, whether each sample has its own steps: fewer of them, at the price of mapping
            the field over the samples, of which it then sees one at a time.
        check: Whether to look at the numbers, where they are known: at y0 and at the solution, and whether
            fixed steps are short enough, for which a second solution with half as long steps is computed
            unless a gradient is taken.
        throw: Whether to raise an error if the solution ends early. Otherwise a `Solution` is returned: what
            was reached, and a status.

    Returns:
        `(..., time, state)`; the first is y0. With `throw=False` a `Solution`.

    Raises:
        ValueError: if an argument does not fit the others, or is complex or not finite.
        FloatingPointError: if the solution ends early, with the time and the cause. Unchecked, and where the
            numbers are not known yet, as under `jax.jit`, the solution is NaN from that time on instead.

    Warns:
        CoarseStepWarning: if half as long fixed steps would change the solution by more than a thousandth of
            the largest |y| of a state.
        ToleranceWarning: if `rtol` is below what the precision can meet.

    Example:
        >>> float(solve(lambda t, y: -y, ops.ones((1, 1)), [0.0, 0.5, 1.0])[0, -1, 0])
        0.36788
    """
    check_method(
        method, rtol=rtol, atol=atol, dt=dt, num_steps=num_steps, max_steps=max_steps, max_step=max_step
    )
    y0, out_dtype = _state(y0, check)
    clock = Clock(times, keras.backend.standardize_dtype(y0.dtype), break_points)
    driven = () if inputs is None else (_inputs(inputs, y0, clock, check),)
    seen = Driven(as_field(field), clock, driven)
    check_layer_sees_time(field, clock)
    if dt is not None or num_steps is not None:
        path = _solve_fixed(seen, y0, driven, STEPS[method], (dt, num_steps), check)
        if throw and not check:  # nobody asks how it ended
            return ops.cast(path, out_dtype)
        solution, max_steps = with_status(path, clock), None
    else:
        if max_step is None:
            max_step = clock.span / PART if knows_time(field) or driven else np.inf
        max_steps = max_steps or _most_steps(clock, y0, seen.stops(method))
        each = each and ops.ndim(y0) > 1
        control = Control(method, *_tolerances(clock, rtol, atol), max_steps, float(max_step), each)
        solution = _solve_controlled(seen, y0, driven, control)
    if check and throw:
        raise_unless_solved(solution, clock, method, max_steps)
    solution = solution._replace(path=ops.cast(solution.path, out_dtype))
    return solution.path if throw else solution


def _state(y0: Any, check: bool) -> tuple[Tensor, str]:
    """y0 in the precision in which it is solved for, and the precision of the answer."""
    y0 = ops.convert_to_tensor(y0)
    dtype = keras.backend.standardize_dtype(y0.dtype)
    refuse_complex(dtype, "y0")
    if not keras.backend.is_float_dtype(dtype):
        dtype = keras.config.floatx()
    if ops.ndim(y0) < 1:
        raise ValueError("y0 must be (..., state), got a number")
    y0 = ops.cast(y0, "float32" if dtype in ("float16", "bfloat16") else dtype)
    if check:
        _check_finite(y0, "y0")
    return y0, dtype


def _inputs(inputs: Any, y0: Tensor, clock: Clock, check: bool) -> Tensor:
    """The inputs in the precision of the states."""
    inputs = ops.convert_to_tensor(inputs)
    refuse_complex(keras.backend.standardize_dtype(inputs.dtype), "inputs")
    if ops.ndim(inputs) != ops.ndim(y0) + 1 or inputs.shape[-2] != len(clock.times):
        raise ValueError(
            f"inputs must be (..., {len(clock.times)} times, features) for a y0 of {tuple(y0.shape)}, got "
            f"{tuple(inputs.shape)}"
        )
    if check:
        _check_finite(inputs, "inputs")
    return ops.cast(inputs, y0.dtype)


def _check_finite(tensor: Tensor, name: str) -> None:
    if is_known(tensor):
        numbers = ops.convert_to_numpy(tensor)
        if not np.isfinite(numbers).all():
            where = np.argwhere(~np.isfinite(numbers))[0].tolist()
            raise ValueError(f"{name} must be finite, got {numbers[tuple(where)]:g} at {where}")


def _solve_fixed(
    seen: Driven, y0: Tensor, driven: tuple, step: Step, parts: tuple[float | None, int | None], check: bool
) -> Tensor:
    def run(finer, y0, *driven):
        grid = Grid.of(seen.clock, *parts, finer)
        path = compiled(lambda y0, *driven: solve_fixed(seen.together(*driven), y0, grid, step))(y0, *driven)
        return ops.moveaxis(path, 0, -2)

    path = run(1, y0, *driven)
    if check and is_known(path) and not getattr(path, "requires_grad", False):
        warn_if_coarse(path, lambda: run(2, *map(ops.stop_gradient, (y0, *driven))))
    return path


def _tolerances(clock: Clock, rtol: float | None, atol: float | None) -> tuple[float, float]:
    """The tolerances that hold: as given, as far as the precision can meet them."""
    least = 8 * clock.smallest
    rtol = RTOL if rtol is None else rtol
    if rtol < least:
        text = (
            f"rtol = {rtol:g} is below what {clock.dtype} can meet and is raised to {least:.2g}; solve in "
            "float64 for less, with a float64 y0 within partita.backend.double_precision()"
        )
        warnings.warn(text, ToleranceWarning, stacklevel=3)
        rtol = least
    return float(rtol), float(1e-3 * rtol if atol is None else atol)


def _most_steps(clock: Clock, y0: Tensor, stops: np.ndarray) -> int:
    """As many steps as have room."""
    row = 4 * np.dtype(clock.dtype).itemsize * int(np.prod([size or 1 for size in y0.shape]))
    return min(max(BYTES // max(row, 1), FEWEST), MOST) + 4 * len(stops)


def _solve_controlled(seen: Driven, y0: Tensor, driven: tuple, control: Control) -> Solution:
    clock = seen.clock
    times, stops = clock.rounded(clock.elapsed), seen.stops(control.method)
    jumps = bool(len(clock.breaks))

    def together(y0, *driven):
        path, *rest = solve_adaptive(seen.together(*driven), y0, times, stops, jumps, control)
        return (ops.moveaxis(path, 0, -2), *rest)

    def apart(y0, *driven):
        shape = ops.shape(y0)
        rows = ops.reshape(y0, (-1, shape[-1]))
        driven = tuple(ops.reshape(inputs, (-1, *inputs.shape[-2:])) for inputs in driven)
        path, *rest = solve_adaptive(seen.apart(*driven), rows, times, stops, jumps, control)
        path = ops.reshape(ops.moveaxis(path, 0, -2), (*shape[:-1], len(times), shape[-1]))
        return (path, *(ops.reshape(part, shape[:-1]) for part in rest))

    return Solution(*compiled(apart if control.each else together)(y0, *driven))


def check_method(
    method: str,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    dt: float | None = None,
    num_steps: int | None = None,
    max_steps: int | None = None,
    max_step: float | None = None,
    name: str = "method",
) -> None:
    """Raise a ValueError unless the arguments of `solve` that choose a method fit together.

    `name` is what the first is called.
    """
    is_fixed = dt is not None or num_steps is not None
    known = STEPS if is_fixed else EMBEDDED
    if method not in known:
        hint = FIXED_ONLY if method in STEPS else ""
        raise ValueError(f"{name} must be one of {', '.join(known)}{hint}, got {method!r}")
    if dt is not None and num_steps is not None:
        raise ValueError("dt and num_steps exclude one another: both say how long a fixed step is")
    if dt is not None and not 0 < dt < np.inf:
        raise ValueError(f"dt must be above 0 and finite, got {dt}")
    if num_steps is not None and (num_steps < 1 or num_steps != int(num_steps)):
        raise ValueError(f"num_steps must be a whole number, at least 1, got {num_steps}")
    control = {"rtol": rtol, "atol": atol, "max_steps": max_steps, "max_step": max_step}
    if is_fixed and (given := [key for key, value in control.items() if value is not None]):
        raise ValueError(
            f"{given[0]} is for steps that are controlled, and fixed ones were asked for by "
            f"{'dt' if dt else 'num_steps'}"
        )
    if rtol is not None and not 0 < rtol < np.inf:
        raise ValueError(f"rtol must be above 0 and finite, got {rtol}")
    if atol is not None and not 0 <= atol < np.inf:
        raise ValueError(f"atol must be at least 0 and finite, got {atol}")
    if max_steps is not None and (max_steps < 1 or max_steps != int(max_steps)):
        raise ValueError(f"max_steps must be a whole number, at least 1, got {max_steps}")
    if max_step is not None and not max_step > 0:
        raise ValueError(f"max_step must be above 0, got {max_step}")

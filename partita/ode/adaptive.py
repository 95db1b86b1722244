"""Steps as long as the error allows: each sample at its own pace, or a batch together.

    e = ‖error / (atol + rtol · |y|)‖,   accept if e ≤ 1,   dt ← dt · 0.9 · e^(−0.75/q) · e_before^(0.2/q),   q = order of the step

The norm is the root mean square over the states. Output times are read off a quartic through both ends of a step and its middle.
Gradients go through every step taken, with the sizes of the steps held fixed.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from partita.autodiff import trajectory
from partita.ode.steps import EMBEDDED, Field, Tensor

SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
SMALL = 1e-10  # an error below this says nothing more


def solve_adaptive(
    field: Field, y0: Tensor, times: np.ndarray, step: str, rtol: float, atol: float, max_steps: int, each: bool
) -> tuple[Tensor, Tensor]:
    """Solve with step control.

    Args:
        field: With `each`, called with t `(batch, 1)`; otherwise with a scalar t.
        y0: `(batch, state)`, or any shape without `each`.
        times: Strictly monotone, `(time,)`.
        step: A name of `steps.EMBEDDED`.
        rtol: Error allowed, relative to the state.
        atol: Error allowed beside it.
        max_steps: Steps taken at most, rejected ones among them.
        each: Whether each sample has steps of its own.

    Returns:
        The solution `(time, *y0.shape)`, NaN at times not reached, and the times reached, `(batch,)` or a scalar.
    """
    embedded, order = EMBEDDED[step]
    end, sign = times[-1].item(), np.sign(times[-1] - times[0]).item()
    stops = ops.convert_to_tensor(times, y0.dtype)

    def column(x):
        return x[..., None] if each else x

    def size(scaled):
        square = ops.square(ops.stop_gradient(scaled))
        return ops.sqrt(ops.mean(square, axis=-1) if each else ops.mean(square))

    def reach(t):
        """How far a step from t may go: with steps that have no good interpolant, to the next output time."""
        if step == "dopri5":
            return end
        later = ops.sum(ops.cast(sign * (stops[1:-1] - t[..., None]) <= 0, "int32"), axis=-1)
        return ops.take(stops, later + 1)

    def advance(t, dt, y, slope, middle, before):
        goal = reach(t)
        last = sign * (t + 1.01 * dt - goal) >= 0
        taken = ops.stop_gradient(ops.where(last, goal - t, dt))
        new = embedded(field, column(t), y, column(taken), slope)
        error = size(new.error / (atol + rtol * ops.maximum(ops.abs(y), ops.abs(new.y))))
        # A step that leaves the field's domain counts as a bad one.
        error = ops.where(ops.isfinite(error), ops.maximum(error, SMALL), 1e10)
        good = error <= 1.0
        factor = SAFETY * error ** (-0.75 / order) * ops.where(good, before ** (0.2 / order), 1.0)
        factor = ops.maximum(ops.where(good, ops.minimum(factor, GROW), ops.minimum(factor, 1.0)), SHRINK)
        moved = ops.logical_and(good, sign * (end - t) > 0)
        # A step cut short by an output time says little about the next: it may only make it longer.
        proposed = ops.where(ops.logical_and(last, good), sign * ops.maximum(sign * dt, sign * taken * factor), taken * factor)
        return (
            ops.where(moved, ops.where(last, goal, t + taken), t),
            proposed,
            ops.where(column(moved), new.y, y),
            ops.where(column(moved), new.slope, slope),
            ops.where(column(moved), new.middle, middle),
            ops.where(good, error, before),
        )

    def unfinished(t, dt, *rest):
        # A step too small to move the time will never end.
        return ops.any(ops.logical_and(sign * (end - t) > 0, t + dt != t))

    t0 = ops.full(ops.shape(y0)[:-1] if each else (), times[0].item(), dtype=y0.dtype)
    slope = field(column(t0), y0)
    dt = _first_step(field, column(t0), y0, slope, sign, size, column, rtol, atol, order, abs(end - times[0].item()))
    start = (t0, dt, y0, slope, y0, ops.ones_like(t0))
    (t, _, *path, _), count = trajectory(advance, unfinished, start, max_steps)
    reached = t[count]
    rows = ops.reshape(ops.arange(ops.shape(t)[0]), (-1, *[1] * t0.ndim))
    t = ops.where(rows <= count, t, end)
    return _interpolate(t, path, stops, sign, reached, max_steps, each), reached


def _first_step(field, t, y, slope, sign, size, column, rtol, atol, order, span):
    """The guess of Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, section II.4."""
    y, slope = ops.stop_gradient(y), ops.stop_gradient(slope)
    scale = atol + rtol * ops.abs(y)
    height, speed = size(y / scale), size(slope / scale)
    first = ops.where(ops.logical_or(height < 1e-5, speed < 1e-5), 1e-6 * span, 0.01 * height / ops.maximum(speed, 1e-5))
    first = ops.minimum(first, span)
    bent = size((field(t + sign * column(first), y + sign * column(first) * slope) - slope) / scale) / first
    bend = ops.maximum(speed, bent)
    second = ops.where(bend <= 1e-15, ops.maximum(1e-6 * span, 1e-3 * first), (0.01 / ops.maximum(bend, 1e-15)) ** (1 / order))
    guess = ops.minimum(ops.minimum(100 * first, second), span)
    return ops.stop_gradient(sign * ops.where(ops.isfinite(guess), guess, 1e-6 * span))


def _interpolate(t: Tensor, path: list[Tensor], stops: Tensor, sign: float, reached: Tensor, max_steps: int, each: bool) -> Tensor:
    """The solution at the output times, `(time, *batch, state)`, from rows of time, state, slope and middle."""
    wanted = stops[:, None] + 0 * t[0] if each else stops  # (time, batch) or (time,)
    row, after, read = _rows(t, wanted, sign, max_steps, each)
    y, slope, middle = path
    left, right = read(t, row), read(t, after)
    length = right - left
    share = ops.where(length == 0, 0.0, (wanted - left) / ops.where(length == 0, 1.0, length))
    spread = [..., *[None] * (y.ndim - t.ndim)]
    length, share = length[tuple(spread)], share[tuple(spread)]
    begin, finish, half = read(y, row), read(y, after), read(middle, after)
    rise, fall = length * read(slope, row), length * read(slope, after)
    quartic = 2 * (fall - rise) - 8 * (begin + finish) + 16 * half
    cubic = 5 * rise - 3 * fall + 18 * begin + 14 * finish - 32 * half
    square = fall - 4 * rise - 11 * begin - 5 * finish + 16 * half
    values = begin + share * (rise + share * (square + share * (cubic + share * quartic)))
    missed = (sign * (wanted - reached) > 0)[tuple(spread)]
    return ops.where(missed, np.nan, values)


def _rows(t: Tensor, wanted: Tensor, sign: float, max_steps: int, each: bool) -> tuple[Tensor, Tensor, Callable]:
    """Between which rows each wanted time lies, and how to read rows: the last row before it is found by bisection."""
    t, count = ops.stop_gradient(t), ops.shape(t)[0]
    samples = ops.arange(ops.shape(t)[1]) if each else 0

    def read(values, row):
        if not each:
            return ops.take(values, row, axis=0)
        flat = ops.reshape(values, (-1, *values.shape[2:]))
        return ops.take(flat, row * ops.shape(t)[1] + samples, axis=0)

    def halve(_, between):
        low, high = between
        middle = (low + high) // 2
        before = sign * (wanted - read(t, middle)) > 0
        return ops.where(before, middle, low), ops.where(before, high, middle)

    first = ops.zeros_like(wanted, dtype="int32")
    # A loop, not a chain of gathers: XLA would compile each into all that follow.
    low, _ = ops.fori_loop(0, max_steps.bit_length(), halve, (first, first + (count - 1)))
    return low, ops.minimum(low + 1, count - 1), read

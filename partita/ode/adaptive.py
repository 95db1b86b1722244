"""Steps as long as the error allows: of a batch together, or of each sample at its own pace.

    e = ‖error / (atol + rtol · |y|)‖,   accept if e ≤ 1,
    dt ← dt · 0.9 · e^(−0.75/q) · e_before^(0.2/q),   q = order of the step

The norm is the root mean square over the states, of the worst sample where they go together. No step goes
beyond a stop. Output times are read off a quartic through both ends of a step and its middle. Gradients go
through every step taken, with the sizes of the steps held fixed.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from partita.backend.derivatives import trajectory
from partita.ode.outcome import NOT_FINITE, SOLVED, STEPS_RAN_OUT, STEPS_TOO_SHORT, STOPPED_ALONG
from partita.ode.steps import EMBEDDED, FieldFrom
from partita.types import Tensor

SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
# an error below the one says nothing more; that of a step that leaves the field's domain is the other
SMALL, HUGE = (1e-10, 1e10)


class Control(NamedTuple):
    """How steps are controlled.

    Attributes:
        method: A name of `steps.EMBEDDED`.
        rtol: Error allowed, relative to the state.
        atol: Error allowed beside it.
        max_steps: Steps taken at most, rejected ones among them.
        max_step: The longest step.
        each: Whether each sample has steps of its own.

    Example:
        >>> Control("dopri5", 1e-6, 1e-9, 1024, 0.1, False).max_step
        0.1
    """

    method: str
    rtol: float
    atol: float
    max_steps: int
    max_step: float
    each: bool


def solve_adaptive(
    field_from: FieldFrom, y0: Tensor, times: np.ndarray, stops: np.ndarray, jumps: bool, control: Control
) -> tuple[Tensor, Tensor, Tensor]:
    """Solve with step control.

    Args:
        field_from: The field as a step sees it; with `each`, both are called with times `(batch, 1)`,
            otherwise with a scalar.
        y0: `(batch, state)`, or any shape without `each`.
        times: Rising from 0, `(time,)`.
        stops: Times at which a step ends, rising, the last of `times` the last of them.
        jumps: Whether the field may jump at stops, so that its value before one is none after it.
        control: How.

    Returns:
        The solution `(time, *y0.shape)`, NaN at times not reached; the times reached and the statuses,
        `y0.shape[:-1]`.
    """
    embedded, order = EMBEDDED[control.method]
    end = times[-1].item()
    goals = ops.convert_to_tensor(stops, y0.dtype)

    def column(x):
        return x[..., None] if control.each else x

    def advance(t, dt, y, slope, middle, before, _, *arrived):
        dt = ops.minimum(dt, control.max_step)
        goal = ops.take(goals, ops.sum(ops.cast(goals[:-1] <= t[..., None], "int32"), axis=-1))
        last = t + 1.01 * dt >= goal
        after = ops.where(last, goal, t + dt)
        taken = ops.stop_gradient(after - t)  # as the rounded times are apart
        new = embedded(field_from(column(t)), column(t), y, column(taken), slope)
        worst = _scaled(new.error, ops.maximum(ops.abs(y), ops.abs(new.y)), control)
        worst = ops.where(ops.isfinite(worst), ops.clip(worst, SMALL, HUGE), HUGE)
        error = worst if control.each else ops.max(worst)
        good = error <= 1.0
        factor = SAFETY * error ** (-0.75 / order) * ops.where(good, before ** (0.2 / order), 1.0)
        factor = ops.maximum(ops.where(good, ops.minimum(factor, GROW), ops.minimum(factor, 1.0)), SHRINK)
        moved = ops.logical_and(good, t < end)
        # A step cut short by a stop says little about the next: it may only make it longer.
        proposed = ops.where(
            ops.logical_and(last, good),
            ops.maximum(dt, taken * factor),
            ops.where(good, taken, ops.minimum(dt, taken)) * factor,
        )

        def choose(new, old):
            return ops.where(column(moved), new, old)

        begins = field_from(column(after))(column(after), new.y) if jumps else new.slope
        return (
            ops.where(moved, after, t),
            proposed,
            choose(new.y, y),
            choose(begins, slope),
            choose(new.middle, middle),
            ops.where(good, error, before),
            worst,
            *(choose(new.slope, old) for old in arrived),
        )

    def unfinished(t, dt, *_):  # the end is not reached, and a step is long enough to change the time
        return ops.any(ops.logical_and(t < end, t + dt > t))

    t0 = ops.zeros(ops.shape(y0)[:-1] if control.each else (), y0.dtype)
    begin = (column(t0), y0)
    field = field_from(column(t0))
    slope, longest = field(*begin), min(control.max_step, stops[0].item())
    dt = _first_step(field, (*begin, slope), control, column, order, longest, end)
    start = (t0, dt, y0, slope, y0, ops.ones_like(t0), ops.ones_like(y0[..., 0]), *([slope] if jumps else []))
    (t, dt, y, slope, middle, _, worst, *arrived), count = trajectory(
        advance, unfinished, start, control.max_steps
    )
    reached = t[count]
    status = _status(reached, dt[count], worst[count], count, end, control)
    rows = ops.reshape(ops.arange(ops.shape(t)[0]), (-1, *[1] * t0.ndim))
    t = ops.where(rows <= count, t, end)
    path = _interpolate(t, (y, slope, middle, arrived[0] if jumps else slope), times, reached, control)
    return path, reached + 0 * worst[count], status


def _scaled(difference, height, control):
    """The norm of a difference of each sample, in units of what the tolerances allow for |y|."""
    scale = ops.maximum(control.atol + control.rtol * height, 1e-30)
    return ops.sqrt(ops.mean(ops.square(ops.stop_gradient(difference / scale)), axis=-1))


def _first_step(field, start, control, column, order, longest, end):
    """The guess of Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, section II.4."""
    t, y, slope = (ops.stop_gradient(part) for part in start)

    def size(difference):
        norm = _scaled(difference, ops.abs(y), control)
        return norm if control.each else ops.max(norm)

    height, speed, tiny = size(y), size(slope), 1e-6 * end
    still = ops.logical_or(height < 1e-5, speed < 1e-5)
    first = ops.minimum(ops.where(still, tiny, 0.01 * height / ops.maximum(speed, 1e-5)), longest)
    bent = size(field(t + column(first), y + column(first) * slope) - slope) / first
    bend = ops.maximum(speed, bent)
    second = (0.01 / ops.maximum(bend, 1e-15)) ** (1 / order)
    second = ops.where(bend <= 1e-15, ops.maximum(tiny, 1e-3 * first), second)
    guess = ops.minimum(ops.minimum(100 * first, second), longest)
    return ops.stop_gradient(ops.where(ops.isfinite(guess), guess, tiny))


def _status(reached, dt, worst, count, end, control):
    """Why each sample ended where it did; see `outcome.STATUSES`."""
    at_fault = worst > 1.0
    along = STEPS_TOO_SHORT if control.each else ops.where(ops.any(at_fault), STOPPED_ALONG, STEPS_TOO_SHORT)
    stuck = ops.where(worst >= HUGE, NOT_FINITE, ops.where(at_fault, STEPS_TOO_SHORT, along))
    ran_out = ops.logical_and(count >= control.max_steps, reached + dt > reached)
    return ops.where(reached >= end, SOLVED, ops.where(ran_out, STEPS_RAN_OUT, stuck))


def _interpolate(
    t: Tensor, path: tuple[Tensor, ...], times: np.ndarray, reached: Tensor, control: Control
) -> Tensor:
    """The solution at the output times, `(time, *batch, state)`.

    Args:
        t: The times at which steps begin and end, in rows.
        path: In such rows the state, the slope with which a step begins there, the middle of the step that
            ends there, and the slope with which that one ends.
        times: The output times.
        reached: How far the steps went.
        control: How.
    """
    wanted = ops.convert_to_tensor(times, t.dtype)
    wanted = wanted[:, None] + 0 * t[0] if control.each else wanted  # (time, batch) or (time,)
    row, after, read = _rows(t, wanted, control)
    y, departing, middle, arriving = path
    left, right = read(t, row), read(t, after)
    length = right - left
    share = ops.where(length == 0, 0.0, (wanted - left) / ops.where(length == 0, 1.0, length))
    spread = (..., *[None] * (y.ndim - t.ndim))
    length, share = length[spread], share[spread]
    begin, finish, half = read(y, row), read(y, after), read(middle, after)
    rise, fall = length * read(departing, row), length * read(arriving, after)
    whole, part = finish - begin, half - begin  # differences, so that large states lose no digits
    quartic = 2 * (fall - rise) - 8 * whole + 16 * part
    cubic = 5 * rise - 3 * fall + 14 * whole - 32 * part
    square = fall - 4 * rise - 5 * whole + 16 * part
    values = begin + share * (rise + share * (square + share * (cubic + share * quartic)))
    return ops.where((wanted > reached)[spread], np.nan, values)


def _rows(t: Tensor, wanted: Tensor, control: Control) -> tuple[Tensor, Tensor, Callable]:
    """Return between which rows each wanted time lies, and how to read rows.

    The last row before it is found by bisection.
    """
    t, count = ops.stop_gradient(t), ops.shape(t)[0]
    samples = ops.arange(ops.shape(t)[1]) if control.each else 0

    def read(values, row):
        if not control.each:
            return ops.take(values, row, axis=0)
        flat = ops.reshape(values, (-1, *values.shape[2:]))
        return ops.take(flat, row * ops.shape(t)[1] + samples, axis=0)

    def halve(_, between):
        low, high = between
        middle = (low + high) // 2
        before = wanted > read(t, middle)
        return ops.where(before, middle, low), ops.where(before, high, middle)

    first = ops.zeros_like(wanted, dtype="int32")
    # A loop, not a chain of gathers: XLA would compile each into all that follow.
    low, _ = ops.fori_loop(0, control.max_steps.bit_length(), halve, (first, first + (count - 1)))
    return low, ops.minimum(low + 1, count - 1), read

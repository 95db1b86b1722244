"""How a solution ended, and what is said of it."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from partita.backend import is_known
from partita.ode.clock import Clock
from partita.types import Tensor

SOLVED, STEPS_RAN_OUT, STEPS_TOO_SHORT, NOT_FINITE, STOPPED_ALONG = range(5)
STATUSES = (
    "solved",
    "max_steps ran out",
    "the steps became too short for the precision of the time",
    "the field or the solution is not finite beyond",
    "stopped because another sample with the same steps did",
)
COARSE = 1e-3  # of the largest |y| of a state


class CoarseStepWarning(UserWarning):
    """A warning that half as long steps would change a solution by fixed steps.

    The change is more than a thousandth of the largest |y| of a state.

    Example:
        >>> import warnings
        >>> from partita.ode import solve
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     path = solve(lambda t, y: -y, np.ones(1), [0.0, 1.0], method="rk4", num_steps=1)
        >>> "CoarseStepWarning" in [warning.category.__name__ for warning in caught]
        True
    """


class ToleranceWarning(UserWarning):
    """A tolerance is smaller than what the precision of the states can meet, and is raised to that.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", ToleranceWarning)  # fail instead
    """


class Solution(NamedTuple):
    """What `solve(..., throw=False)` reached.

    Attributes:
        path: `(..., time, state)`; NaN at times that were not reached.
        elapsed: How far the solution went, as time since the first of the times, `(...,)`.
        status: How it ended, `(...,)`, a place in `ode.STATUSES`: 0 is solved, 1 that `max_steps` ran out, 2
            that the steps became too short for the precision of the time, 3 that the field or the solution is
            not finite beyond, 4 that another sample, which shared its steps, stopped.

    Example:
        >>> from partita.ode import STATUSES, solve
        >>> ended = solve(lambda t, y: y * y, np.ones(1), [0.0, 0.5, 2.0], throw=False)
        >>> [bool(is_there) for is_there in np.isfinite(ops.convert_to_numpy(ended.path)[:, 0])]
        [True, True, False]
        >>> STATUSES[int(ended.status)]
        'the steps became too short for the precision of the time'
    """

    path: Tensor
    elapsed: Tensor
    status: Tensor


def with_status(path: Tensor, clock: Clock) -> Solution:
    """Return a solution by fixed steps, `(..., time, state)`, with how it ended.

    It ended at the last of the times before the first number that is not finite.

    Example:
        >>> path = ops.array([[1.0], [2.0], [np.inf]])
        >>> float(with_status(path, Clock([0.0, 0.5, 1.0], "float32")).elapsed)
        0.5
    """
    finite = ops.all(ops.isfinite(path), axis=-1)  # (..., time)
    solved = ops.sum(ops.cumprod(ops.cast(finite, "int32"), axis=-1), axis=-1)
    elapsed = ops.take(ops.convert_to_tensor(clock.elapsed, clock.dtype), ops.maximum(solved - 1, 0))
    return Solution(path, elapsed, ops.where(solved < len(clock.times), NOT_FINITE, SOLVED))


def raise_unless_solved(solution: Solution, clock: Clock, method: str, max_steps: int | None) -> None:
    """Raise a FloatingPointError if a solution whose numbers are known ended early.

    The error names the time, the sample and the cause.

    Args:
        solution: What was reached.
        clock: Its times.
        method: The name of the method.
        max_steps: With step control, the steps taken at most; None for fixed steps.

    Example:
        >>> clock = Clock([0.0, 1.0], "float32")
        >>> raise_unless_solved(Solution(np.ones((2, 1)), np.ones(()), np.zeros((), int)), clock, "dopri5", 9)
    """
    if not all(map(is_known, solution)):
        return
    path, elapsed, status = map(ops.convert_to_numpy, solution)
    if (status == SOLVED).all() and np.isfinite(path).all():
        return
    elapsed, status = np.atleast_1d(elapsed), np.atleast_1d(status)
    sample = np.unravel_index(np.argmax(~np.isin(status, (SOLVED, STOPPED_ALONG))), status.shape)
    where = f" in sample {', '.join(map(str, sample))}" if (status != status.flat[0]).any() else ""
    time = _number(clock.origin + clock.sign * float(elapsed[sample]), clock)
    cause = _cause(status[sample], clock, method, max_steps)
    raise FloatingPointError(f"the solution stops at t = {time}{where}: {cause}")


def _number(time: float, clock: Clock) -> str:
    """The time with as many digits as tell it apart within the span."""
    digits = 6 + max(0, int(np.ceil(np.log10(max(abs(time), 1e-300) / clock.span))))
    return f"{time:.{min(digits, 17)}g}"


def _cause(status: int, clock: Clock, method: str, max_steps: int | None) -> str:
    stiff = "" if method in ("rodas4", "rosenbrock_euler") else ", or method='rodas4' if the field is stiff"
    if status == STEPS_RAN_OUT:
        return f"max_steps = {max_steps} ran out there; give a larger max_steps=, a larger rtol={stiff}"
    if max_steps is None:
        return (
            f"it is not finite at the next of the times; the fixed steps of {method!r} are too long there, "
            "or the solution ends: leave out num_steps= and dt= to see which"
        )
    if status == NOT_FINITE:
        return (
            "just beyond it the field or the state is not finite, however short the step; it leaves the "
            f"field's domain, or what {clock.dtype} holds"
        )
    return (
        f"its steps fall below {clock.smallest:.1g} of the time since the first, which {clock.dtype} cannot "
        "tell apart; the solution blows up there, or the field jumps: give break_points= where it does"
    )


def warn_if_coarse(path: Tensor, finer: Callable[[], Tensor]) -> None:
    """Warn if half as long steps change a solution, unless it is not finite.

    Args:
        path: `(..., time, state)`, numbers.
        finer: Solves again with those steps.
    """
    found = ops.convert_to_numpy(path)
    if not np.isfinite(found).all():
        return
    with np.errstate(all="ignore"):
        change = coarseness(found, ops.convert_to_numpy(finer()))
    if not change <= COARSE:
        text = (
            f"half as long steps change the solution by {change:.2g} of its size: take more (num_steps=, "
            "dt=), or leave out both for step control; check=False says nothing"
        )
        warnings.warn(text, CoarseStepWarning, stacklevel=4)


def coarseness(path: np.ndarray, finer: np.ndarray) -> float:
    """Return the largest change from `path` to `finer`, as a share of the largest |y| of its state.

    Both are `(..., time, state)`.

    Example:
        >>> coarseness(np.array([[2.0], [1.0]]), np.array([[2.0], [1.5]]))
        0.25
    """
    height = np.abs(finer).max(axis=-2, keepdims=True)
    # a state of zeros holds roundings of the others
    noise = 64 * np.finfo(path.dtype).eps * height.max(axis=-1, keepdims=True)
    change = np.maximum(np.abs(finer - path) - noise, 0.0)
    return float(np.max(change / np.where(height > 0, height, 1.0)))

"""Steps of fixed length, as many between two output times as one says.

y(t_{i+1}) = Step ∘ … ∘ Step (y(t_i))
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

from partita.ode.clock import APART, Clock
from partita.ode.steps import FieldFrom, Step
from partita.types import Tensor

MOST = 100_000_000  # steps


@dataclass(frozen=True)
class Grid:
    """The steps from the first time to the last.

    Attributes:
        starts: Where each step begins, `(steps,)`, as time since the first.
        sizes: How long it is.
        rows: How many steps lead to each of the times but the first.

    Example:
        >>> Grid.of(Clock([0.0, 1.0, 3.0], "float64"), None, 2).sizes.tolist()
        [0.5, 0.5, 1.0, 1.0]
    """

    starts: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, clock: Clock, dt: float | None, num_steps: int | None, finer: int = 1) -> "Grid":
        """Divide the time between two output times into steps.

        There are `num_steps` parts, or parts no longer than `dt`, and `finer` times as many. Break points
        divide the time too: a step ends at each.

        Raises:
            ValueError: if the steps are too short for the precision of the states, or too many.
        """
        ends = np.unique(np.concatenate([clock.elapsed, clock.breaks]))
        gaps = np.diff(ends)
        if dt is None:
            whole = np.diff(clock.elapsed)[np.searchsorted(clock.elapsed, ends[1:]) - 1]
            counts = np.ceil(gaps / whole * num_steps - 1e-9)
        else:
            counts = np.ceil(gaps / dt - 1e-9)
        counts = np.maximum(counts, 1) * finer
        if counts.sum() > MOST:
            raise ValueError(f"dt and num_steps must ask for {MOST:,} steps at most, got {counts.sum():.3g}")
        counts = counts.astype(int)
        sizes = np.repeat(gaps / counts, counts)
        starts = divide(ends, counts)
        rows = np.concatenate([[0], np.cumsum(counts)])[np.searchsorted(ends, clock.elapsed[1:])]
        short = sizes < APART * clock.smallest * starts
        if short.any() and finer == 1:
            raise ValueError(
                f"steps of {sizes[short][0]:g} are too short for {clock.dtype}, {starts[short][0]:g} after "
                f"the first of the times: ask for "
                f"fewer, or solve in float64, with a float64 y0 within partita.backend.double_precision()"
            )
        return cls(starts, sizes, rows)


def divide(ends: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return where the parts begin if each gap between `ends` is divided into so many.

    Example:
        >>> divide(np.array([0.0, 1.0, 4.0]), np.array([1, 2]))
        array([0. , 1. , 2.5])
    """
    gaps = zip(ends[:-1], np.diff(ends), counts, strict=True)
    return np.concatenate([low + gap * np.arange(count) / count for low, gap, count in gaps])


def solve_fixed(field_from: FieldFrom, y0: Tensor, grid: Grid, step: Step) -> Tensor:
    """Take the steps of the grid.

    Args:
        field_from: The field as a step sees it.
        y0: `(..., state)`.
        grid: The steps.
        step: How one is taken.

    Returns:
        The solution at the output times, `(time, ..., state)`.
    """

    def advance(y, moment):
        y = step(field_from(moment[0]), moment[0], y, moment[1])
        return y, y

    moments = ops.convert_to_tensor(np.stack([grid.starts, grid.sizes], axis=-1), y0.dtype)  # (steps, 2)
    _, path = ops.scan(advance, y0, moments)
    stride = int(grid.rows[0])
    if (grid.rows == stride * np.arange(1, len(grid.rows) + 1)).all():
        path = path[stride - 1 :: stride]
    else:
        path = ops.take(path, ops.convert_to_tensor(grid.rows - 1), axis=0)
    return ops.concatenate([y0[None], path], axis=0)

"""The times of a solution, which the solver counts from the first one so that they keep their digits.

    τ = |t − t_0|,   dy/dτ = ± f(t_0 ± τ, y)

τ has the precision of the states. The field is given t, in float64 where the states' precision would round it
too far.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from partita.backend import double_precision
from partita.types import Tensor

FAR = 16  # times beyond so many spans are rounded too far in the precision of the states
APART = 4  # two times must be so many roundings apart


def check_times(times: npt.ArrayLike) -> np.ndarray:
    """Return the times as float64.

    Raises:
        ValueError: if they are not known real numbers, there are less than two, or they neither rise nor fall
            throughout.

    Example:
        >>> check_times([0, 2])
        array([0., 2.])
    """
    moments = real_array(times, "times")
    if moments.ndim != 1 or len(moments) < 2:
        raise ValueError(f"times must be a row of two or more, got the shape {moments.shape}")
    with np.errstate(invalid="ignore"):
        differences = np.diff(moments)
    direction = np.sign(moments[-1] - moments[0]) or 1.0
    if bad := [*np.flatnonzero(~(direction * differences > 0) | ~np.isfinite(differences))]:
        before, after = moments[bad[0]], moments[bad[0] + 1]
        raise ValueError(
            f"times must rise, or fall, throughout and be finite, got {before:.10g} before {after:.10g} at "
            f"{bad[0] + 1}"
        )
    return moments


def real_array(values: npt.ArrayLike, name: str) -> np.ndarray:
    """Return the values as float64.

    Raises:
        ValueError: if they are complex, text, dates or not known yet.

    Example:
        >>> real_array([1, 2], "times")
        array([1., 2.])
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be real numbers that are known when solve is called, got {type(values).__name__}"
        ) from error
    if array.dtype.kind not in "fiub":
        kinds = {"c": "complex numbers", "M": "dates: give the days or seconds since one of them"}
        kind = kinds.get(array.dtype.kind, f"dtype {array.dtype}")
        raise ValueError(f"{name} must be real numbers, got {kind}")
    return array.astype("float64")


class Clock:
    """Convert between the solver's time τ and the times that the field sees.

    Args:
        times: Rising or falling, `(time,)`.
        dtype: The precision of the states and of τ.
        break_points: Times at which the field may jump. A step that ends at one sees the field just before
            it, a step that begins there the field just after it.

    Attributes:
        elapsed: τ of the times, float64 `(time,)`, rising from 0.
        breaks: τ of the break points within the times, float64.
        wide: Whether the field is given its time in float64, being too large for the precision of the states.

    Raises:
        ValueError: if a break point is not a finite number.

    Example:
        >>> clock = Clock([2024.0, 2024.5], "float32")
        >>> clock.wide, clock.elapsed
        (True, array([0. , 0.5]))
    """

    def __init__(self, times: npt.ArrayLike, dtype: str, break_points: npt.ArrayLike | None = None):
        self.times = check_times(times)
        self.origin = self.times[0].item()
        self.sign = float(np.sign(self.times[-1] - self.origin))
        self.dtype = dtype
        self.elapsed = self.sign * (self.times - self.origin)
        self.span = self.elapsed[-1].item()
        self.wide = dtype != "float64" and bool(np.abs(self.times).max() > FAR * self.span)
        self.seen_dtype = "float64" if self.wide else dtype
        jumps = np.unique(real_array([] if break_points is None else break_points, "break_points").ravel())
        if not np.isfinite(jumps).all():
            raise ValueError(f"break_points must be finite, got {jumps[~np.isfinite(jumps)][0]}")
        low, high = sorted(self.times[[0, -1]])
        jumps = jumps[(jumps >= low) & (jumps <= high)][:: int(self.sign)]
        self.breaks = self.sign * (jumps - self.origin)
        self._pieces = _sides(jumps, self.sign, self.seen_dtype)

    @property
    def smallest(self) -> float:
        """The relative spacing of τ in the precision of the states.

        Example:
            >>> Clock([0.0, 1.0], "float64").smallest
            2.220446049250313e-16
        """
        return float(np.finfo(self.dtype).eps)

    def stops(self, at_times: bool = False) -> np.ndarray:
        """Return the τ at which a step must end, in the precision of the states.

        These are the inner break points, and the end or, `at_times`, all of the times.

        Raises:
            ValueError: if two of them are too close for that precision.
        """
        every = np.unique(np.concatenate([self.breaks, self.elapsed if at_times else self.elapsed[-1:]]))
        return self.rounded(every[every > 0])

    def rounded(self, elapsed: np.ndarray) -> np.ndarray:
        """Rising τ in the precision of the states.

        Raises:
            ValueError: if two of them are too close for that precision.
        """
        close = np.flatnonzero(np.diff(elapsed) < APART * self.smallest * elapsed[1:])
        if close.size:
            first, second = (self.origin + self.sign * elapsed[close[0] : close[0] + 2]).tolist()
            raise ValueError(
                f"{self.dtype} cannot tell {second!r} from {first!r}, {elapsed[close[0] + 1]:g} after the "
                "first of the times: solve in float64, with a float64 y0 within "
                "partita.backend.double_precision(), or in several parts"
            )
        return elapsed.astype(self.dtype)

    def piece(self, start: Tensor) -> Tensor | None:
        """Between which break points a step from `start` lies, counted from 0; None if there are none."""
        if not len(self.breaks):
            return None
        breaks = ops.convert_to_tensor(self.breaks.astype(self.dtype))
        return ops.sum(ops.cast(breaks <= start[..., None], "int32"), axis=-1)

    def precision(self) -> Any:
        """A context in which what the field computes of its time keeps its digits."""
        return double_precision() if self.seen_dtype == "float64" else nullcontext()

    def seen(self, elapsed: Tensor, piece: Tensor | None = None) -> Tensor:
        """Return the time at τ as the field sees it, within the piece between two break points.

        This is to be called within `precision`.
        """
        time = self.sign * ops.cast(elapsed, self.seen_dtype) + self.origin
        if piece is None:
            return time
        low, high = (ops.take(ops.convert_to_tensor(ends, self.seen_dtype), piece) for ends in self._pieces)
        # Moved, not replaced: the derivative in the time stays.
        return time + ops.stop_gradient(ops.clip(time, low, high) - time)


def _sides(jumps: np.ndarray, sign: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest time that the field may see before, between and after the jumps."""
    rounded = jumps.astype(dtype)
    tiny = np.finfo(dtype).tiny
    above = np.where(rounded == 0, tiny, np.nextafter(rounded, np.asarray(np.inf, dtype)))
    below = np.where(rounded == 0, -tiny, np.nextafter(rounded, np.asarray(-np.inf, dtype)))
    # as the solver goes, a piece begins just after one jump and ends just before the next
    low, high = ([-np.inf, *above], [*below, np.inf]) if sign > 0 else ([*above, -np.inf], [np.inf, *below])
    return np.array(low, dtype), np.array(high, dtype)

"""What `fit` is given, checked and brought into one form.

times and observations of experiments → times `(time,)` from the initial time on, observations
`(experiments, time, state)`, initial states
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.ode.fixed import divide

NOISES = ("normal", "lognormal")
# Of the largest number observed of a state: where a search for its initial value begins if that is 0.
FLOOR = 1e-3


@dataclass(frozen=True)
class Observations:
    """Observations at common times.

    Attributes:
        times: Rising, `(time,)`; the first is the initial time, whether something was observed then or not.
        data: `(experiments, time, state)`, NaN where nothing was seen.
        unasked: Rows at the beginning of `times` that are not among the times given: 1 where the initial time
            is before them all, else 0.
        single: Whether the observations came without an axis of experiments.
    """

    times: np.ndarray
    data: np.ndarray
    unasked: int
    single: bool

    @property
    def given(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and observations as they came."""
        data = self.data[:, self.unasked :]
        return self.times[self.unasked :], data[0] if self.single else data


def observations(times: Any, observed: Any, initial_time: float | None = None) -> Observations:
    """Bring observations into one form; experiments at their own times share the union of them.

    Raises:
        ValueError: if shapes do not fit, times do not rise or are before the initial time, or a number is
            infinite.

    Example:
        >>> observations([1.0, 2.0], [[5.0], [3.0]], initial_time=0.0).times.tolist()
        [0.0, 1.0, 2.0]
    """
    if isinstance(observed, (list, tuple)) and len(observed) and np.ndim(observed[0]) == 2:
        parts = [numbers(f"observed[{number}]", part) for number, part in enumerate(observed)]
        rows = times if np.ndim(next(iter(times), 0)) else [times] * len(parts)
        own = [_rising(row, initial_time) for row in rows]
        if len(own) != len(parts):
            raise ValueError(f"times and observed must be as many, got {len(own)} and {len(parts)}")
        if initial_time is None and len({row[0] for row in own}) > 1:
            raise ValueError(
                f"all experiments must begin at one time, got {sorted({float(row[0]) for row in own})}: "
                "initial_time= says when the initial states hold"
            )
        moments = np.unique(np.concatenate(own))
        data = np.full((len(parts), len(moments), parts[0].shape[-1]), np.nan)
        for number, (row, part) in enumerate(zip(own, parts, strict=True)):
            if part.shape != (len(row), data.shape[-1]):
                raise ValueError(
                    f"observed[{number}] must be {(len(row), data.shape[-1])}, time × state, got {part.shape}"
                )
            data[number, np.searchsorted(moments, row)] = part
        single = False
    else:
        moments, data = _rising(times, initial_time), numbers("observed", observed)
        single = data.ndim == 2
        if data.ndim not in (2, 3) or data.shape[-2] != len(moments):
            raise ValueError(
                f"observed must be (time, state) or (experiments, time, state) with {len(moments)} times, "
                f"got {data.shape}"
                + ("; one state alone is observed[:, None]" if data.shape == moments.shape else "")
            )
        data = data[None] if single else data
    unasked = int(initial_time is not None and initial_time < moments[0])
    if unasked:
        moments = np.concatenate([[initial_time], moments])
        data = np.concatenate([np.full((len(data), 1, data.shape[-1]), np.nan), data], axis=1)
    if len(moments) < 2:
        raise ValueError(
            "times must hold one later than the initial time, got a single time: initial_time= says when "
            "the initial state holds"
        )
    return Observations(moments, data, unasked, single)


def numbers(name: str, given: Any) -> np.ndarray:
    """Return float64 numbers, NaN where an array is masked.

    Raises:
        ValueError: if they are no numbers, or infinite.
    """
    try:
        if np.ma.isMaskedArray(given):
            given = np.ma.asarray(given, "float64").filled(np.nan)
        array = np.asarray(given, "float64")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers, got {error}") from None
    if np.isinf(array).any():
        raise ValueError(
            f"{name} must be finite, or NaN where nothing was seen, got {array[np.isinf(array)][0]:g}"
        )
    return array


def _rising(times: Any, initial_time: float | None) -> np.ndarray:
    moments = numbers("times", times)
    if moments.ndim != 1 or not len(moments):
        raise ValueError(f"times must be a row of numbers, got the shape {moments.shape}")
    if not np.isfinite(moments).all():
        place = int(np.argmin(np.isfinite(moments)))
        raise ValueError(f"times must be finite, got {moments[place]:g} at {place}")
    if len(moments) > 1 and (np.diff(moments) < 0).all():
        raise ValueError("times must rise, got falling ones")
    if (late := np.flatnonzero(np.diff(moments) <= 0)).size:
        place = int(late[0])
        raise ValueError(
            f"times must rise throughout, got {float(moments[place])!r} before {float(moments[place + 1])!r} "
            f"at {place + 1}: sort them, and average or separate what was seen at one time"
        )
    if initial_time is not None and moments[0] < initial_time:
        raise ValueError(
            f"times must not be before initial_time, {initial_time:g}, got {float(moments[0])!r}"
        )
    return moments


def initial_states(initial: Any, seen: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Return the states at the initial time, and which of them are what was observed then.

    Both are `(experiments, state)`.

    Raises:
        ValueError: if they do not fit, or nothing was observed where they are not given.
    """
    first = seen.data[:, 0]
    shape = first.shape
    given = np.full(shape, np.nan) if initial is None else numbers("initial", initial)
    if given.shape not in (shape, shape[1:]):
        raise ValueError(f"initial must be {shape[1:]} or {shape} finite numbers, got {given.tolist()}")
    given = np.broadcast_to(given, shape)
    taken = np.isnan(given)
    if (taken & np.isnan(first)).any():
        if seen.unasked:
            raise ValueError("initial must be given where initial_time is before the first observation")
        raise ValueError("initial must be given where the first row of observed has gaps")
    return np.where(taken, first, given), taken


def start_of_initial(y0: np.ndarray, seen: Observations, positive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where the search for initial states begins, and their lower bounds, both `(experiments, state)`.

    A state of which nothing negative is known stays above 0 where `positive`. If it is 0 at the beginning,
    the search begins at a thousandth of the largest number observed of it.
    """
    largest = np.nanmax(np.where(np.isnan(seen.data), 0.0, np.abs(seen.data)), axis=(0, 1))
    largest = np.maximum(largest, np.abs(y0).max(axis=0))
    largest = np.where(largest > 0, largest, largest.max() or 1.0)
    lowest = np.minimum(np.where(np.isnan(seen.data), 0.0, seen.data).min(axis=(0, 1)), y0.min(axis=0))
    above = (lowest >= 0) & positive
    start = np.where(above & (y0 <= 0), FLOOR * largest, y0)
    return start, np.broadcast_to(np.where(above, 0.0, -np.inf), y0.shape)


def levels_given(sigma: Any, num_states: int) -> np.ndarray | None:
    """Return the standard deviation of each state's noise where it is known.

    The result is None where it is to be estimated.

    Raises:
        ValueError: if it is neither None, `"species"` nor numbers above 0.
    """
    if sigma is None or (isinstance(sigma, str) and sigma == "species"):
        return None
    if isinstance(sigma, str):
        raise ValueError(f"sigma must be None, 'species' or numbers, got {sigma!r}")
    levels = np.asarray(sigma, "float64")
    if levels.shape not in ((), (1,), (num_states,)):
        raise ValueError(
            f"sigma must be a number or one for each of {num_states} states, got the shape {levels.shape}"
        )
    if not ((levels > 0) & np.isfinite(levels)).all():
        raise ValueError(f"sigma must be above 0, got {levels.tolist()}")
    return np.broadcast_to(levels, (num_states,))


def refine(moments: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid through the times, and where the times stand in it.

    The steps of the grid are about as long as a `steps`th part of all.

    Example:
        >>> refine(np.array([0.0, 1.0, 4.0]), 4)
        (array([0., 1., 2., 3., 4.]), array([0, 1, 4]))
    """
    counts = np.ceil(np.diff(moments) / (moments[-1] - moments[0]) * steps - 1e-9).astype(int).clip(1)
    return np.append(divide(moments, counts), moments[-1]), np.concatenate([[0], np.cumsum(counts)])

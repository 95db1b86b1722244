"""Searches from several starts, on growing parts of the observations.

A long record of something that oscillates has a minimum for every wrong count of oscillations: so a search
sees the first observations, then twice as many, until it has seen all.
"""

from collections.abc import Callable

import numpy as np

from partita.ode.least_squares import Minimum, Problem, descend, minimize

ENOUGH = 3  # searches that end alike
SHORT = 20  # evaluations on a part of the observations
DRAWS = 4  # of a start, until the solution is finite


def search(  # noqa: PLR0913 - options, each given by its name
    problem: Callable[[np.ndarray], Problem],
    x: np.ndarray,
    weights: np.ndarray,
    reach: np.ndarray,
    *,
    starts: int,
    warmup: int,
    max_iterations: int,
    seed: int | None,
    poor: Callable[[np.ndarray], bool],
) -> tuple[Minimum, int] | None:
    """Return the best minimum, and how many searches ended there.

    The result is None if the solution is finite from no start.

    Args:
        problem: Weights of the observations, shaped like them, → the sum of squares.
        x: The first start, `(numbers,)`.
        weights: Of the observations, `(experiments, time, state)`, 0 where nothing was seen.
        reach: Standard deviation of the other starts around it, in free coordinates, `(numbers,)`; it grows
            to three times that.
        starts: Searches at most. Three that converge to the same lowest minimum are enough, or one that
            explains everything.
        warmup: Steps of clipped descent before each search.
        max_iterations: Evaluations of a search at most.
        seed: Of the starts.
        poor: Residuals → whether they are too large to end the searches early.
    """
    rng = np.random.default_rng(seed)
    parts = [problem(shown) for shown in _growing(weights)]
    last, coordinates = parts[-1], parts[-1].coordinates
    origin = coordinates.unbound(x)
    nothing = last.count * last.exact**2  # a sum of squares as good as 0
    ends: list[Minimum] = []
    for number in range(starts):
        begin, wide = x, reach * (1 + 2 * (number - 1) / max(starts - 2, 1))
        for _ in range(DRAWS if number else 0):
            drawn = coordinates.bound(origin + wide * rng.standard_normal(len(x)))
            begin = np.where(last.moving, drawn, x)
            if parts[0].value(begin) is not None:
                break
        found = _one(parts, begin, warmup, max_iterations)
        if found is None:
            continue
        ends.append(found)
        limit = (1 + 1e-6) * min(end.cost for end in ends) + nothing
        alike = [end for end in ends if end.converged and end.cost <= limit]
        perfect = found.converged and found.cost <= nothing
        if perfect or (len(alike) >= ENOUGH and not poor(alike[0].residuals)):
            break
    if not ends:
        return None
    lowest = min(end.cost for end in ends)
    alike = [end for end in ends if end.cost <= (1 + 1e-6) * lowest]
    return min(alike, key=lambda end: (not end.converged, end.cost)), len(alike)


def _one(parts: list[Problem], x: np.ndarray, warmup: int, max_iterations: int) -> Minimum | None:
    found = None
    for part in parts:
        x = descend(part, x, warmup) if warmup else x
        found = minimize(part, x, max_iterations if part is parts[-1] else min(SHORT, max_iterations))
        if found is None:
            return None
        x = found.x
    return found


def _growing(weights: np.ndarray) -> list[np.ndarray]:
    """The weights of the first 4 times at which something was seen, of the first 8, 16 … and of all."""
    times = np.flatnonzero((weights > 0).any(axis=(0, 2)))
    shares = [share for share in (4 * 2**power for power in range(20)) if share < len(times)]
    rows = np.arange(weights.shape[1])[:, None]
    return [*(np.where(rows <= times[share - 1], weights, 0.0) for share in shares), weights]

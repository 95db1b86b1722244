"""The smallest sum of squares, from exact Jacobians, by SciPy's trust region.

A search goes through free coordinates first (logarithms of what stays above 0: a start that is wrong by
decades is no obstacle), then through the parameters themselves, within their bounds. Both are needed: where a
parameter tends to 0, its logarithm tends to −∞ on a plateau without a minimum, and only the parameter itself
leads out of it.

Whether a search has converged is asked apart from that, by the relative offset of Bates and Watts:

    ‖Q'r‖ / √p   ≤   10⁻³ · ‖r − Q Q'r‖ / √(n − p),      Q an orthonormal basis of the columns of the Jacobian

the step that is left is a thousandth of the standard errors. It does not depend on units or coordinates, and
is large on a plateau.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from partita.ode.coordinates import Coordinates

OFFSET = 1e-3
# directions whose scaled singular value is below this share of the largest are not determined
SINGULAR = 1e-6
HUGE = 1e100  # squares of residuals beyond this overflow
ROUNDS = 3
TOLERANCES = {"ftol": 1e-11, "xtol": 1e-12, "gtol": 1e-15}  # of SciPy's search


@dataclass(frozen=True)
class Problem:
    """A sum of squares over parameters within bounds.

    Args:
        residuals: x → the residuals `(m,)` and their Jacobian `(m, numbers)`.
        coordinates: Bounds and scales of x.
        moving: Which numbers of x are sought, `(numbers,)`; the others stay.
        count: How many of the residuals are observations; the others are 0.
        exact: A root mean square of the residuals below this is as good as 0.
    """

    residuals: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    coordinates: Coordinates
    moving: np.ndarray
    count: int
    exact: float = 1e-9

    def value(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Residuals and Jacobian in the numbers that move; None where they are not finite."""
        if not np.isfinite(x).all():
            return None
        value, jacobian = self.residuals(x)
        jacobian = jacobian[:, self.moving]
        usable = np.isfinite(jacobian).all() and np.abs(value).max(initial=0.0) < HUGE  # False for NaN
        return (value, jacobian) if usable else None

    def offset(self, x: np.ndarray, value: np.ndarray, jacobian: np.ndarray) -> float:
        """The step that is left, in standard errors.

        What rests on a bound and would go beyond it has none.
        """
        lengths, gradient = np.linalg.norm(jacobian, axis=0), jacobian.T @ value
        noise = max(float(np.linalg.norm(value)) / np.sqrt(max(self.count, 1)), self.exact)
        own, part = x[self.moving], self.coordinates.part(self.moving)
        below, above = own - part.low, part.high - own
        near = OFFSET * noise
        held = ((gradient > 0) & (below * lengths <= near)) | ((gradient < 0) & (above * lengths <= near))
        free = ~held & (lengths > 0)
        if not free.any():
            return 0.0
        basis, sizes, _ = np.linalg.svd(jacobian[:, free] / lengths[free], full_matrices=False)
        basis = basis[:, sizes > SINGULAR * sizes[0]]
        along = basis.T @ value
        across = value - basis @ along
        left = float(np.linalg.norm(across)) / np.sqrt(max(self.count - basis.shape[1], 1))
        return float(np.linalg.norm(along)) / np.sqrt(basis.shape[1]) / max(left, self.exact)


@dataclass(frozen=True)
class Minimum:
    """Where a search ended.

    Attributes:
        x: The parameters.
        residuals, jacobian: There; the Jacobian in the numbers that were sought.
        costs: The sum of squares after each step.
        offset: The step that is left, in standard errors.
        evaluations: How often the residuals were computed.
    """

    x: np.ndarray
    residuals: np.ndarray
    jacobian: np.ndarray
    costs: tuple[float, ...]
    offset: float
    evaluations: int

    @property
    def cost(self) -> float:
        """The sum of squares."""
        return self.costs[-1]

    @property
    def converged(self) -> bool:
        """Whether the step that is left is below a thousandth of the standard errors."""
        return bool(self.offset <= OFFSET)


@dataclass
class _Walk:
    """The problem along a path of free or plain coordinates.

    Each point is computed once, and the best is kept.
    """

    problem: Problem
    x: np.ndarray
    costs: list[float]
    evaluations: int = 0
    known: dict[bytes, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = x.tobytes()
        if key not in self.known:
            found = self.problem.value(x)
            self.evaluations += 1
            if found is None:
                rows = next(iter(self.known.values()))
                found = np.full_like(rows[0], np.nan), np.full_like(rows[1], np.nan)
            self.known = {key: found} if np.isfinite(found[0]).all() else {**self.known, key: found}
        return self.known[key]

    def go(self, coordinates: Coordinates, most: int, **options: Any) -> None:
        """Search in coordinates of the numbers that move.

        The walk stands at the best point afterwards.
        """
        moving = self.problem.moving

        def whole(theta):
            x = self.x.copy()
            x[moving] = coordinates.bound(theta)
            return x

        def residuals(theta):
            return self.at(whole(theta))[0]

        def jacobian(theta):
            x = whole(theta)
            value, matrix = self.at(x)
            self.costs.append(float(value @ value))
            return matrix * coordinates.slope(x[moving])

        self.known = {key: value for key, value in self.known.items() if np.isfinite(value[0]).all()}
        start, options = coordinates.unbound(self.x[moving]), {**TOLERANCES, **options}
        found = least_squares(residuals, start, jacobian, max_nfev=max(most, 1), **options)
        self.x = whole(found.x)


def minimize(problem: Problem, x: np.ndarray, max_evaluations: int) -> Minimum | None:
    """Search from x; None if the residuals are not finite there.

    Example:
        >>> one = Coordinates.of({"x": 1.0}, {"x": (0, None)})
        >>> problem = Problem(lambda x: (x**2 - 4, np.diag(2 * x)), one, np.array([True]), 1)
        >>> found = minimize(problem, np.array([1.0]), 50)
        >>> found.x.round(6).tolist(), found.converged
        ([2.0], True)
    """
    begun = problem.value(x)
    if begun is None:
        return None
    part = problem.coordinates.part(problem.moving)
    walk = _Walk(problem, x.copy(), [], 1, {x.tobytes(): begun})
    before = np.inf
    for stage in range(2 * ROUNDS):
        left = max_evaluations - walk.evaluations + (stage == 0)
        try:
            if stage % 2 == 0:
                # A number on its bound has no logarithm: it begins a little inside.
                walk.go(part, left, x_scale=1.0)
            else:
                own = walk.x[problem.moving]
                unit, far = np.where(own == 0, part.scales, np.abs(own)), np.full_like(own, np.inf)
                # without bounds of their own they are x / unit: SciPy holds the bounds
                plain = replace(part, low=-far, high=far, scales=unit)
                walk.go(plain, left, x_scale="jac", bounds=(part.low / unit, part.high / unit))
        except (ValueError, np.linalg.LinAlgError):
            pass  # numbers so large that a decomposition overflows: the other coordinates may do
        value, jacobian = walk.at(walk.x)
        offset, cost = problem.offset(walk.x, value, jacobian), float(value @ value)
        if offset <= OFFSET or walk.evaluations >= max_evaluations:
            break
        if stage % 2:
            if cost > (1 - 1e-6) * before:
                break
            before = cost
    return Minimum(walk.x, value, jacobian, (*walk.costs, cost), offset, walk.evaluations)


def descend(problem: Problem, x: np.ndarray, steps: int, rate: float = 0.05, clip: float = 1.0) -> np.ndarray:
    """Take `steps` steps of Adam in free coordinates, with a clipped gradient: slow, and hard to lead astray.

    A step to where the residuals are not finite ends it; the best point is returned.
    """
    coordinates, moving = problem.coordinates, problem.moving
    theta = coordinates.unbound(x)
    mean, square, best, lowest = np.zeros(moving.sum()), np.zeros(moving.sum()), x, float("inf")
    for count in range(1, steps + 1):
        at = np.where(moving, coordinates.bound(theta), x)
        found = problem.value(at)
        if found is None:
            break
        value, jacobian = found
        if value @ value < lowest:
            best, lowest = at, float(value @ value)
        gradient = (jacobian * coordinates.slope(at)[moving]).T @ value
        gradient = gradient * min(1.0, clip / (np.linalg.norm(gradient) + 1e-300))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        theta[moving] -= rate * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.99**count)) + 1e-12)
    return best

"""The work of a fit: searches, the noise, and steps that are short enough.

r = (g(y(t; x)) − g(o)) / σ,   σ² = Σ (g(y) − g(o))² / (n − p)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from keras import ops

from partita.backend.derivatives import value_and_jacobian
from partita.ode.coordinates import Coordinates
from partita.ode.least_squares import Minimum, Problem, minimize
from partita.ode.multistart import search
from partita.ode.observations import Observations, refine
from partita.ode.solver import solve
from partita.types import Tensor

FINEST = 6400  # steps; a solution that is not exact by then makes a fit that has not converged
FINER = 8  # times as many steps where the solution was finite from no start
POOR = 2.0  # times the sum of squares around the means: the search went astray
EXACT = 1e-6  # of what the observations span: as good as nothing


@dataclass(frozen=True)
class Model:
    """A field, its parameters, initial states and observations.

    Args:
        call: `(t, y, p)` → dy/dt.
        coordinates: Of the parameters; a parameter `"initial"`, the last, is the initial states.
        y0: The initial states `(experiments, state)` where they are no parameter.
        seen: The observations; the first of their times is the initial time.
        noise: `"normal"` or `"lognormal"`.
        method: A name of the solver's steps.
    """

    call: Callable[..., Tensor]
    coordinates: Coordinates
    y0: np.ndarray
    seen: Observations
    noise: str
    method: str

    def path(self, x: Tensor, grid: np.ndarray, rows: np.ndarray) -> Tensor:
        """The solution `(experiments, rows, state)` at rows of a grid of times since the initial time."""
        values = self.coordinates.split(x)
        begin = values.pop("initial") if "initial" in values else ops.convert_to_tensor(self.y0)
        origin = float(self.seen.times[0])

        def slope(t, y):
            return self.call(origin + t, y, values)

        path = solve(slope, begin, grid, method=self.method, num_steps=1, check=False)
        return ops.take(path, ops.convert_to_tensor(rows), axis=1)

    def residuals(self, steps: int) -> Callable[..., tuple[Tensor, Tensor]]:
        """`(x, weights)` → residuals, 0 where the weight is, and their Jacobian; compiled."""
        grid, rows = refine(self.seen.times - self.seen.times[0], steps)
        target = self.target

        def weighted(x, weights):
            path = self.path(x, grid, rows)
            path = ops.log(ops.where(weights > 0, path, 1.0)) if self.noise == "lognormal" else path
            residuals = weights * (path - ops.convert_to_tensor(target))
            return ops.reshape(ops.where(weights > 0, residuals, 0.0), (-1,))

        return value_and_jacobian(weighted)

    @property
    def target(self) -> np.ndarray:
        """The observations, or their logarithms, `(experiments, time, state)`; 0 where there are none."""
        data = self.seen.data
        if self.noise == "lognormal":
            return np.log(np.where(data > 0, data, 1.0))
        return np.where(np.isfinite(data), data, 0.0)


@dataclass
class Estimation:
    """One fit under way.

    Args:
        model: What is fitted.
        shown: Which observations count, `(experiments, time, state)`.
        moving: Which numbers of the parameters are sought, `(numbers,)`.
        known: The standard deviation of each state's noise, None where it is estimated.
        each: Whether it is estimated for each state by itself.
        steps: Steps over all the time.
        max_iterations: Evaluations of a search at most.
    """

    model: Model
    shown: np.ndarray
    moving: np.ndarray
    known: np.ndarray | None
    each: bool
    steps: int
    max_iterations: int
    evaluations: int = 0
    agreeing: int = 0
    exact_enough: bool = True
    best: Minimum = field(init=False)
    levels: np.ndarray = field(init=False)
    costs: list[float] = field(default_factory=list)
    compiled: dict[int, Callable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.levels = self.known if self.known is not None else np.full(self.shown.shape[-1], self.span)

    @cached_property
    def span(self) -> float:
        """The standard deviation of all observations, or their size where they are all alike."""
        values = self.model.target[self.shown]
        return float(np.std(values)) or float(np.abs(values).max()) or 1.0

    @property
    def count(self) -> int:
        """How many observations count."""
        return int(self.shown.sum())

    @property
    def weights(self) -> np.ndarray:
        """1/σ for each observation, 0 where there is none."""
        return np.where(self.shown, 1.0 / self.levels, 0.0)

    def problem(self, weights: np.ndarray, steps: int | None = None) -> Problem:
        """The sum of squares with these weights."""
        steps = steps or self.steps
        if steps not in self.compiled:
            self.compiled[steps] = self.model.residuals(steps)
        both = self.compiled[steps]

        def at(x):
            return tuple(ops.convert_to_numpy(part) for part in both(x, weights))

        exact = min(EXACT * self.span / float(self.levels.min()), 0.1)
        return Problem(at, self.model.coordinates, self.moving, int((weights > 0).sum()), exact)

    def search(self, x: np.ndarray, reach: np.ndarray, starts: int, warmup: int, seed: int | None) -> None:
        """Search from several starts; then estimate the noise.

        Raises:
            FloatingPointError: if the solution is finite from none of them, with more steps neither.
        """
        for more in (1, FINER):
            self.steps *= more
            if more > 1 and self.problem(self.weights).value(x) is None:
                break
            effort = {"starts": starts, "warmup": warmup, "max_iterations": self.max_iterations}
            found = search(self.problem, x, self.weights, reach, **effort, seed=seed, poor=self.poor)
            if found is not None:
                break
        if found is None:
            raise FloatingPointError(
                "the solution is not finite from any start: begin elsewhere, with more steps, or with "
                "step='rodas4' for a stiff field"
            )
        self.best, self.agreeing = found
        self.evaluations, self.costs = self.best.evaluations, [*self.best.costs]
        self.estimate_noise()

    def again(self) -> None:
        """Go on from the best point, after the weights or the steps have changed."""
        found = minimize(self.problem(self.weights), self.best.x, self.max_iterations)
        if found is not None:
            self.best, self.evaluations = found, self.evaluations + found.evaluations

    def estimate_noise(self) -> None:
        """Estimate σ where it is not known, and where each state has its own, fit again with it, in turns."""
        if self.known is not None:
            return
        for _ in range(20 if self.each else 1):
            squares = (self.best.residuals.reshape(self.shown.shape) * self.levels) ** 2
            counts, size = self.shown.sum(axis=(0, 1)), int(self.moving.sum())
            if self.each:
                freedom = np.maximum(counts - size * counts / counts.sum(), 1.0)
                new = np.sqrt(squares.sum(axis=(0, 1)) / freedom)
            else:
                new = np.full_like(self.levels, np.sqrt(squares.sum() / max(counts.sum() - size, 1)))
            new = np.maximum(new, EXACT * self.span)  # the solution itself is not more exact
            settled = np.allclose(new, self.levels, rtol=1e-4)
            self.levels = np.where(counts > 0, new, self.levels)
            self.again()
            if settled:
                break

    def refine(self) -> None:
        """Halve the steps until that changes the solution no more, and fit again each time."""
        while True:
            finer = self.problem(self.weights, 2 * self.steps).value(self.best.x)
            change = np.inf if finer is None else np.abs(finer[0] - self.best.residuals).max()
            allowed = max(0.01, EXACT * self.span / float(self.levels.min()))
            self.exact_enough = bool(change < allowed)
            if self.exact_enough or finer is None or self.steps >= FINEST:
                break
            self.steps *= 2
            self.again()
            self.estimate_noise()

    def poor(self, residuals: np.ndarray) -> bool:
        """Return whether the observations are explained much worse than by the means of the states.

        The mean of a state is taken in each experiment by itself.
        """
        shown = self.shown & (self.shown.sum(axis=1, keepdims=True) > 2)
        target = np.where(shown, self.model.target, 0.0)
        means = target.sum(axis=1, keepdims=True) / np.maximum(shown.sum(axis=1, keepdims=True), 1)
        around = float((np.where(shown, target - means, 0.0) ** 2 / self.levels**2).sum())
        own = float((residuals.reshape(shown.shape)[shown] ** 2).sum())
        return own > POOR * around + shown.sum() * (EXACT * self.span / float(self.levels.min())) ** 2

    def problems(self) -> Iterator[str]:
        """What is wrong with the best point."""
        if not self.best.converged:
            yield (
                f"the search has not converged after {self.evaluations} solutions of the equation: raise "
                f"max_iterations ({self.max_iterations}), or begin elsewhere"
            )
        elif self.poor(self.best.residuals):
            yield (
                "the fit explains the observations worse than their means do: the search ended astray, or "
                "the field is not theirs"
            )
        if not self.exact_enough:
            yield (
                f"the solution still changes when its {self.steps} steps are halved: begin elsewhere, or "
                "take step='rodas4' for a stiff field"
            )

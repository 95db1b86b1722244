"""What a fit found: parameters with standard errors, and the solution with a band.

sd g(y(t)) = √(J_t · Cov θ̂ · J_tᵀ)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.special import ndtri

from partita.backend import double_precision
from partita.backend.derivatives import value_and_jacobian
from partita.extras import current_axes
from partita.ode.coordinates import Coordinates
from partita.ode.observations import numbers, refine

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class IdentifiabilityWarning(UserWarning):
    """The observations do not determine every parameter.

    Example:
        >>> import warnings
        >>> from partita.ode import fit
        >>> times, sum_of_two = np.linspace(0.0, 1.0, 5), lambda t, y, p: -(p["a"] + p["b"]) * y
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", IdentifiabilityWarning)
        ...     found = fit(
        ...         sum_of_two,
        ...         {"a": 1.0, "b": 1.0},
        ...         times,
        ...         np.exp(-times)[:, None] + 0.01,
        ...         initial=[1.0],
        ...         starts=1,
        ...     )
        >>> found.unidentified
        ('a', 'b')
    """


@dataclass(frozen=True, repr=False)
class Fit:
    """What `fit` found; `print` shows it.

    Attributes:
        parameters: The best values, like those the search began with; with `fit_initial=True`, `"initial"`
            `(experiments, state)` among them.
        errors: Their standard errors, from the Fisher information; inf for those that are not determined.
            They hold for a search that has converged, and for noise as `fit` describes it.
        converged: Whether the search ended at a minimum, and the steps of the solver are short enough.
        message: `"converged"`, or what is wrong.
        unidentified: Names of parameters that the observations do not determine: changing them together
            changes nothing seen.
        sigma: Standard deviation of the noise, for each state; of logarithms where the noise is log-normal.
            NaN where there are no more observations than parameters to estimate it from.
        cost: Sum of squares of the residuals, each divided by `sigma`.
        num_iterations: How often the equation was solved in the best search and after it.
        num_agreeing: How many of the searches ended at this minimum.
        history: Root mean square of the residuals, in units of the first guess of the noise, after each step
            of the best search.
        initial: The state at `initial_time`, `(state,)`, or `(experiments, state)` after a fit to several.
        initial_errors: Its standard errors, 0 for what was not fitted.
        initial_is: Where it is from, in words: it was fitted, given, or is the first observation.
        initial_time: When it holds: the solution begins then.
        x: All that was fitted in one vector, `(numbers,)`: the parameters, then initial states.
        covariance_of_parameters: Of `x`; the square roots of its diagonal are the errors.
        theta: The same in free coordinates: logarithms of parameters above 0.
        covariance: Of `theta`.
        steps: Steps over all the time that the solution took.

    Example:
        >>> from partita.ode import fit
        >>> times = np.linspace(0.0, 2.0, 9)
        >>> found = fit(
        ...     lambda t, y, p: -p["k"] * y, {"k": 1.0}, times, 5 * np.exp(-3 * times)[:, None], starts=1
        ... )
        >>> found.solution([0.0, 0.1])[:, 0].round(3).tolist()
        [5.0, 3.704]
    """

    coordinates: Coordinates
    x: np.ndarray
    covariance_of_parameters: np.ndarray
    theta: np.ndarray
    covariance: np.ndarray
    parameters: dict[str, Any]
    errors: dict[str, Any]
    unidentified: tuple[str, ...]
    sigma: np.ndarray
    history: tuple[float, ...]
    noise: str
    times: np.ndarray
    observed: np.ndarray
    initial: np.ndarray
    initial_errors: np.ndarray
    initial_is: str
    initial_time: float
    converged: bool
    message: str
    cost: float
    num_iterations: int
    num_agreeing: int
    path_of: Callable[..., Any]
    steps: int

    def __repr__(self) -> str:
        errors = np.sqrt(np.diag(self.covariance_of_parameters))
        rows = zip(self.coordinates.labels, self.x, errors, strict=True)
        lines = [f"{label} = {value:.5g} ± {error:.2g}" for label, value, error in rows]
        levels = " ".join(f"{level:.3g}" for level in self.sigma)
        lines.append(f"noise {levels} ({self.noise}), RMSE {self.rmse:.4g}")
        lines.append(f"initial state at t = {self.initial_time:.15g}: {self.initial_is}")
        if self.unidentified:
            lines.append(f"not determined by the observations: {', '.join(self.unidentified)}")
        if self.message != "converged":
            lines.append(f"NOT TO BE RELIED ON: {self.message}")
        return "\n".join(lines)

    @property
    def residuals(self) -> np.ndarray:
        """Observed less fitted, of the shape of the observations; NaN where nothing was seen."""
        return self.observed - self.solution(self.times)

    @property
    def rmse(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(np.nanmean(self.residuals**2)))

    def solution(self, times: npt.ArrayLike) -> np.ndarray:
        """The fitted solution, `(time, state)`, or `(experiments, time, state)` after a fit to several.

        Raises:
            ValueError: if the times do not rise, or begin before the initial time of the fit.
        """
        return self._evaluate(times)[0]

    def band(
        self, times: npt.ArrayLike, level: float = 0.9, noise: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper limit of the solution at the `level` of confidence.

        With `noise`, they are the limits of an observation of it. They come by the delta method, on
        logarithms where the noise is log-normal. Parameters that are not determined widen the band
        nowhere; where the noise could not be estimated it is infinite.

        Raises:
            ValueError: as `solution`, or if the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}")
        path, jacobian = self._evaluate(times)  # (..., time, state), (..., time, state, θ)
        certain = np.isfinite(np.diag(self.covariance_of_parameters))
        cov = np.where(np.outer(certain, certain), self.covariance_of_parameters, 0.0)
        if self.noise == "lognormal":
            jacobian = jacobian / path[..., None]
        variance = np.einsum("...i,ij,...j->...", jacobian, cov, jacobian) + (self.sigma**2 if noise else 0.0)
        if np.isnan(self.sigma).any():
            variance = np.full_like(variance, np.inf)
        reach = ndtri((1 + level) / 2) * np.sqrt(variance)
        if self.noise == "lognormal":
            return path * np.exp(-reach), path * np.exp(reach)
        return path - reach, path + reach

    def _evaluate(self, times):
        wanted = numbers("times", times)
        is_row = wanted.ndim == 1 and len(wanted) > 0
        if not (is_row and np.isfinite(wanted).all() and (np.diff(wanted) > 0).all()):
            raise ValueError(
                f"times must be a row of finite numbers that rise throughout, got {wanted.tolist()}"
            )
        span, since = self.times[-1] - self.initial_time, wanted - self.initial_time
        if since[0] < 0:
            raise ValueError(
                f"times must not be before {self.initial_time:g}, the initial time of the fit, got "
                f"{wanted[0]:g}"
            )
        drop = int(since[0] > 0)
        moments = np.concatenate([[0.0], since]) if drop else since
        if len(moments) == 1:  # the initial time alone: a solver wants a second
            moments = np.append(moments, span)
        grid, rows = refine(moments, int(np.ceil(self.steps * moments[-1] / span)))
        solve = value_and_jacobian(lambda x: ops.reshape(self.path_of(x, grid, rows), (-1,)))
        with double_precision():
            path, jacobian = map(ops.convert_to_numpy, solve(self.x))
        path = path.reshape(-1, len(moments), self.observed.shape[-1])
        jacobian = jacobian.reshape(*path.shape, len(self.x))
        path, jacobian = path[:, drop : drop + len(wanted)], jacobian[:, drop : drop + len(wanted)]
        return (path[0], jacobian[0]) if self.observed.ndim == 2 else (path, jacobian)

    def plot(self, names: list[str] | None = None, level: float = 0.9, axes: "Axes | None" = None) -> "Axes":
        """The observations, the solution and its band, into Matplotlib's current axes or the given ones.

        Raises:
            ImportError: if matplotlib is missing.
        """
        axes = current_axes() if axes is None else axes
        times = np.linspace(self.initial_time, self.times[-1], 200)
        curves = (self.solution(times), *self.band(times, level), self.observed)
        experiments = zip(*(curve.reshape(-1, *curve.shape[-2:]) for curve in curves), strict=True)
        for number, (path, low, high, observed) in enumerate(experiments):
            for state in range(observed.shape[-1]):
                colour = f"C{state}"
                label = names[state] if names and not number else None
                axes.plot(times, path[:, state], color=colour, label=label)
                axes.fill_between(times, low[:, state], high[:, state], color=colour, alpha=0.2, linewidth=0)
                axes.plot(self.times, observed[:, state], "o", color=colour, markersize=4)
        axes.set_xlabel("time")
        if names:
            axes.legend()
        return axes

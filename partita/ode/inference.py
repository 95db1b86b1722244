"""Parameters of an equation from observations of its solution.

θ̂ = argmin Σ ((g(y(t_i; θ)) − g(o_i)) / σ)²,   Cov θ̂ = (Jᵀ J)⁻¹,
g the identity, or the logarithm for log-normal noise
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.backend import double_precision
from partita.convergence import ConvergenceWarning
from partita.ode.coordinates import Bounds, Coordinates
from partita.ode.estimation import Estimation, Model
from partita.ode.field import as_field
from partita.ode.least_squares import SINGULAR
from partita.ode.observations import NOISES, initial_states, levels_given, observations, start_of_initial
from partita.ode.result import Fit, IdentifiabilityWarning
from partita.ode.solver import check_method
from partita.types import Tensor


def fit(  # noqa: PLR0913 - the arguments of keras.Model.fit
    field: Callable[..., Tensor],
    parameters: Mapping[str, npt.ArrayLike],
    times: npt.ArrayLike | Sequence[npt.ArrayLike],
    observed: npt.ArrayLike | Sequence[npt.ArrayLike],
    *,
    initial: npt.ArrayLike | None = None,
    initial_time: float | None = None,
    fit_initial: bool | None = None,
    positive: bool = True,
    bounds: Bounds | None = None,
    noise: str = "normal",
    sigma: float | npt.ArrayLike | str | None = None,
    step: str = "rk4",
    steps: int = 100,
    starts: int = 8,
    spread: float = 0.7,
    warmup: int = 0,
    max_iterations: int = 200,
    seed: int | None = None,
) -> Fit:
    """Infer the parameters of dy/dt = field(t, y, p) by least squares, with standard errors.

    SciPy's trust region with the Jacobian of the solver itself, in float64, from several starts, each on the
    first observations, then on twice as many, until all are in: a long record of something that oscillates
    has a minimum for every wrong count of oscillations. Afterwards the equation is solved in steps half as
    long; as long as that changes the solution by more than a hundredth of the noise, or a millionth of what
    the observations span, it is fitted again with those.

    The noise is taken to be independent from observation to observation, with the same standard deviation σ
    for all (with `sigma="species"`: for all of one state); σ is estimated from the residuals, and never below
    a millionth of what the observations span. Counts, whose variance grows with their mean, are fitted
    without bias by this; the standard errors are right to some ten percent where the counts are of one order
    of magnitude.

    Args:
        field: `(t, y, p)` → dy/dt of y's shape `(experiments, state)`, p a dict like `parameters`.
        parameters: Starting values, numbers or arrays.
        times: Rising, `(time,)`. With several experiments at their own times a list.
        observed: `(time, state)` or `(experiments, time, state)`, or a list; NaN where nothing was seen, a
            whole column if never.
        initial: The state at `initial_time`, `(state,)` or `(experiments, state)`, taken as exact; NaN, or
            None for all, takes what was observed then.
        initial_time: When the initial state holds; by default the first of `times`. Where a model begins at 0
            and was first observed at 1, it is 0.
        fit_initial: Whether the state at `initial_time` is fitted too, and what was observed then counts as
            an observation like the others. None does so for states taken from `observed`, which are as noisy
            as the rest, and not for those that `initial` gives. True does so for all, from where `initial`
            says; False for none: what was observed first is then taken as exact.
        positive: Whether parameters without bounds of their own, and fitted initial states of which nothing
            negative was observed, stay above 0.
        bounds: Lowest and highest value by name, None for no bound.
        noise: `"normal"`, or `"lognormal"`: the logarithms of the observations scatter.
        sigma: Its standard deviation where it is known, a number or one for each state; None estimates one
            for all states, `"species"` one for each.
        step: A name of `solve`'s steps; `"rodas4"` for stiff fields.
        steps: Steps over all the time, to begin with.
        starts: Searches at most, the first from `parameters`, the others scattered around it. Three that end
            alike are enough, or one that explains all observations exactly.
        spread: Standard deviation of that scatter, in logarithms where a parameter is positive, else as a
            share of its size; it grows to three times that with the last start.
        warmup: Steps of clipped gradient descent before each search.
        max_iterations: Solutions of the equation in a search at most.
        seed: The same seed gives the same starts; None draws one.

    Returns:
        A `Fit`. Its `converged` says whether the search ended at a minimum.

    Raises:
        ValueError: if an argument does not fit.
        FloatingPointError: if the solution is finite from no start.

    Warns:
        ConvergenceWarning: if the search has not converged, or ended where the observations are explained
            worse than by their means.
        IdentifiabilityWarning: if it has, but the observations do not determine every parameter.

    Source: Branch, Coleman, Li 1999 (the trust region); Bates, Watts 1981 (the criterion of convergence).

    Example:
        >>> times = np.linspace(0.0, 2.0, 9)
        >>> found = fit(
        ...     lambda t, y, p: -p["k"] * y, {"k": 1.0}, times, 5 * np.exp(-3 * times)[:, None], starts=1
        ... )
        >>> round(found.parameters["k"], 4), found.converged
        (3.0, True)
    """
    _check(noise, steps, starts, spread, warmup, max_iterations, step, initial_time)
    seen = observations(times, observed, initial_time)
    y0, taken = initial_states(initial, seen)
    sought = taken & ((y0 > 0) | (noise != "lognormal"))
    if fit_initial is not None:
        sought = np.full(y0.shape, bool(fit_initial))
    start, limits = _start(parameters, bounds, positive)
    if sought.any():
        start["initial"], lowest = start_of_initial(y0, seen, positive)
        limits.setdefault("initial", (lowest, None))
    if unknown := [name for name in limits if name not in start]:
        raise ValueError(f"bounds must name parameters ({', '.join(parameters)}), got {unknown[0]!r}")
    coordinates = Coordinates.of(start, limits)
    shown = np.isfinite(seen.data)
    shown[:, 0] &= sought  # what is given or taken as exact says nothing about the parameters
    _check_shown(seen.data[shown], noise, len(coordinates.labels))
    x, moving = coordinates.flat(start), np.ones(len(coordinates.labels), bool)
    reach = np.full(len(x), float(spread))
    if sought.any():
        states = slice(len(x) - y0.size, None)
        x[states] = np.where(sought, start["initial"], y0).ravel()
        moving[states], reach[states] = sought.ravel(), 0.2 * spread
    model = Model(as_field(field), coordinates, y0, seen, noise, step)

    with double_precision(), np.errstate(all="ignore"):
        known = levels_given(sigma, y0.shape[-1])
        work = Estimation(model, shown, moving, known, isinstance(sigma, str), steps, max_iterations)
        work.search(x, reach, starts, warmup, seed)
        work.refine()
    return _result(work, [*parameters, *(["initial"] if fit_initial else [])], _origin(sought, taken))


def _start(
    parameters: Mapping[str, npt.ArrayLike], bounds: Bounds | None, positive: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the parameters start, and the lowest and highest value of each."""
    if "initial" in parameters:
        raise ValueError(
            "a parameter must not be called 'initial': that is the name of the fitted initial state"
        )
    start = {name: np.asarray(value, "float64") for name, value in parameters.items()}
    return start, {**dict.fromkeys(start, (0.0 if positive else None, None)), **(bounds or {})}


def _origin(sought: np.ndarray, taken: np.ndarray) -> str:
    """Where the initial states are from."""
    kinds = (
        ("fitted", sought),
        ("the first observation, taken as exact", taken & ~sought),
        ("given, taken as exact", ~taken & ~sought),
    )
    present = [name for name, which in kinds if which.any()]
    return present[0] if len(present) == 1 else "in part " + "; in part ".join(present)


def _result(work: Estimation, names: list[str], origin: str) -> Fit:
    model, best, seen = work.model, work.best, work.model.seen
    coordinates, x = model.coordinates, best.x
    covariance, lost = _covariance(best.jacobian, work.moving)
    labels = tuple(label for label, is_lost in zip(coordinates.labels, lost, strict=True) if is_lost)
    no_noise = work.known is None and work.count <= work.moving.sum() - lost.sum()
    if no_noise:
        covariance[work.moving, work.moving] = np.inf
    problems = [*work.problems()]
    values, errors = coordinates.named(x), coordinates.named(np.sqrt(np.diag(covariance)))
    states = (values.get("initial", model.y0), errors.get("initial", np.zeros_like(model.y0)))
    initial, initial_errors = (part[0] if seen.single else part for part in states)
    times, observed = seen.given
    found = Fit(
        coordinates=coordinates,
        x=x,
        covariance_of_parameters=covariance,
        theta=coordinates.unbound(x),
        covariance=coordinates.covariance_of_theta(x, covariance),
        parameters={name: values[name] for name in names},
        errors={name: errors[name] for name in names},
        unidentified=() if problems else labels,
        sigma=np.full_like(work.levels, np.nan) if no_noise else work.levels,
        history=tuple(float(np.sqrt(cost / max(work.count, 1))) for cost in work.costs),
        noise=model.noise,
        times=times,
        observed=observed,
        initial=initial,
        initial_errors=initial_errors,
        initial_is=origin,
        initial_time=float(seen.times[0]),
        path_of=model.path,
        steps=work.steps,
        converged=best.converged and work.exact_enough,
        message="; ".join(problems) or "converged",
        num_iterations=work.evaluations,
        num_agreeing=work.agreeing,
        cost=best.cost,
    )
    if problems:
        text = f"{found.message}. The parameters and their standard errors are not to be relied on"
        warnings.warn(text, ConvergenceWarning, stacklevel=3)
    elif labels:
        text = f"the observations do not determine {', '.join(labels)}"
        warnings.warn(text, IdentifiabilityWarning, stacklevel=3)
    elif no_noise:
        text = (
            f"{work.count} observations for {int(work.moving.sum())} parameters leave nothing to estimate "
            "the noise from: the standard errors are infinite; give sigma= where the noise is known"
        )
        warnings.warn(text, IdentifiabilityWarning, stacklevel=3)
    return found


def _check(noise, steps, starts, spread, warmup, max_iterations, step, initial_time):
    if noise not in NOISES:
        raise ValueError(f"noise must be one of {', '.join(NOISES)}, got {noise!r}")
    counts = {"steps": steps, "starts": starts, "warmup": warmup, "max_iterations": max_iterations}
    for name, value in counts.items():
        least = 0 if name == "warmup" else 1
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not (np.isfinite(spread) and spread >= 0):
        raise ValueError(f"spread must be 0 or more, got {spread}")
    if initial_time is not None and not np.isfinite(initial_time):
        raise ValueError(f"initial_time must be a finite number, got {initial_time!r}")
    check_method(step, num_steps=1, name="step")


def _check_shown(data: np.ndarray, noise: str, size: int) -> None:
    if not len(data):
        raise ValueError("observed must hold something beside the initial state, got nothing")
    if noise == "lognormal" and (data <= 0).any():
        raise ValueError(f"observed must be above 0 where noise is 'lognormal', got {data.min():g}")
    with np.errstate(all="ignore"):
        if not np.isfinite(np.square(data)).all():
            raise ValueError("observed must hold numbers whose squares are finite: use another unit")
    if not size:
        raise ValueError("parameters must hold something to fit, got nothing")


def _covariance(jacobian: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of the Fisher information `(numbers, numbers)`, and what is not determined `(numbers,)`.

    It is infinite where the information is singular, and 0 for what was not sought.
    """
    lengths = np.linalg.norm(jacobian, axis=0)
    scale = np.where(lengths > 0, lengths, 1.0)
    _, sizes, directions = np.linalg.svd(jacobian / scale, full_matrices=True)
    sizes = np.concatenate([sizes, np.zeros(jacobian.shape[1] - len(sizes))])
    firm = sizes > SINGULAR * sizes.max()
    part = (directions[firm].T / sizes[firm] ** 2) @ directions[firm] / np.outer(scale, scale)
    unknown = (np.abs(directions[~firm]) > 1e-3).any(axis=0)
    part[unknown, unknown] = np.inf
    covariance, lost = np.zeros((len(moving), len(moving))), np.zeros(len(moving), bool)
    covariance[np.ix_(moving, moving)] = part
    lost[moving] = unknown
    return covariance, lost

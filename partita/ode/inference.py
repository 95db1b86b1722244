"""Parameters of an equation from observations of its solution.

θ̂ = argmin Σ ((g(y(t_i; θ)) − g(o_i)) / σ)²,   Cov θ̂ = (Jᵀ J)⁻¹,   g the identity, or the logarithm for log-normal noise
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from partita.autodiff import value_and_jacobian
from partita.backend import double_precision
from partita.ode.clock import check_times
from partita.ode.coordinates import Bounds, Coordinates
from partita.ode.field import as_field
from partita.ode.least_squares import descend, levenberg_marquardt
from partita.ode.result import Fit, IdentifiabilityWarning
from partita.ode.solver import check_method, solve
from partita.ode.steps import Tensor

FINEST = 6400  # steps; a solution that is not exact by then is left to the caller
ENOUGH = 3  # searches that end alike
NOISES = ("normal", "lognormal")


def fit(
    field: Callable[..., Tensor],
    parameters: Mapping[str, npt.ArrayLike],
    times: npt.ArrayLike | Sequence[npt.ArrayLike],
    observed: npt.ArrayLike | Sequence[npt.ArrayLike],
    *,
    initial: npt.ArrayLike | None = None,
    fit_initial: bool = False,
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
    """Infer the parameters of dy/dt = field(t, y, p).

    Levenberg–Marquardt with the Jacobian of the solver itself, in float64, from several starts, each on the first observations, then
    on twice as many, until all are in: a long record of something that oscillates has a minimum for every wrong count of oscillations.
    Afterwards the equation is solved in steps half as long; as long as that changes the solution by more than a hundredth of the
    noise, or a millionth of what the observations span, it is fitted again with those.

    Args:
        field: `(t, y, p)` → dy/dt of y's shape `(experiments, state)`, p a dict like `parameters`.
        parameters: Starting values, numbers or arrays.
        times: Rising, `(time,)`; the state is `initial` at the first. With several experiments at their own times a list.
        observed: `(time, state)` or `(experiments, time, state)`, or a list; NaN where nothing was seen, a whole column if never.
        initial: The state at the first time, `(state,)` or `(experiments, state)`; by default what was observed there.
        fit_initial: Whether the state at the first time is fitted too, from there.
        positive: Whether parameters without bounds of their own, and a fitted initial state, stay above 0.
        bounds: Lowest and highest value by name, None for no bound.
        noise: `"normal"`, or `"lognormal"`: the logarithms of the observations scatter.
        sigma: Its standard deviation where it is known, a number or one for each state; None estimates one for all states,
            `"species"` one for each.
        step: A name of `solve`'s steps; `"rodas4"` for stiff fields.
        steps: Steps over all the time, to begin with.
        starts: Searches at most, the first from `parameters`, the others scattered around it. Three that end alike are enough.
        spread: Standard deviation of that scatter, in logarithms where a parameter is positive, else as a share of its size.
        warmup: Steps of clipped gradient descent before each search.
        max_iterations: Steps of a search at most.
        seed: The same seed gives the same starts; None draws one.

    Raises:
        ValueError: if an argument does not fit.
        FloatingPointError: if the solution is finite from no start.

    Example:
        >>> times = np.linspace(0.0, 2.0, 9)
        >>> found = fit(lambda t, y, p: -p["k"] * y, {"k": 1.0}, times, 5 * np.exp(-3 * times)[:, None], starts=1)
        >>> round(found.parameters["k"], 4)
        3.0
    """
    _check(noise, steps, starts, warmup, max_iterations, step)
    moments, data, single = _experiments(times, observed)
    call = as_field(field)
    y0 = _initial_state(initial, data)
    start = {name: np.asarray(value, "float64") for name, value in parameters.items()}
    default = (0.0, None) if positive else (None, None)
    limits: dict[str, tuple[float | None, float | None]] = {**dict.fromkeys(start, default), **(bounds or {})}
    if fit_initial:
        if "initial" in start:
            raise ValueError("a parameter must not be called 'initial' where fit_initial asks for one")
        start["initial"] = y0
        limits.setdefault("initial", default)
    coordinates = Coordinates.of(start, limits)
    seen = np.isfinite(data)
    if not fit_initial:
        seen[:, 0] = False  # given, so that nothing is to be learnt from it
    if noise == "lognormal" and (data[seen] <= 0).any():
        raise ValueError(f"observed must be above 0 where noise is 'lognormal', got {data[seen].min():g}")
    count, size = int(seen.sum()), len(coordinates.labels)
    if count == 0:
        raise ValueError("observed must hold something beside the initial state, got nothing")
    known = _known(sigma, data.shape[-1])
    target = np.where(seen, np.log(np.where(seen, data, 1.0)) if noise == "lognormal" else data, 0.0)

    def path_of(theta, grid, rows):
        values = coordinates.values(theta)
        begin = values.pop("initial") if fit_initial else ops.convert_to_tensor(y0)
        path = solve(lambda t, y: call(t, y, values), begin, grid, method=step, num_steps=1, check=False)  # (experiments, grid, state)
        return ops.take(path, ops.convert_to_tensor(rows), axis=1)

    def problem(steps):
        grid, rows = refine(moments, steps)

        def residuals(theta, weights):
            path = path_of(theta, grid, rows)
            path = ops.log(ops.where(weights > 0, path, 1.0)) if noise == "lognormal" else path
            return ops.reshape(ops.where(weights > 0, weights * (path - ops.convert_to_tensor(target)), 0.0), (-1,))

        both = value_and_jacobian(residuals)

        def at(weights):
            def evaluate(theta):
                value, jacobian = both(theta, weights)
                return ops.convert_to_numpy(value), ops.convert_to_numpy(jacobian)

            return evaluate

        return at

    def weights_of(levels):
        return np.where(seen, 1.0 / levels, 0.0)

    with double_precision(), np.errstate(all="ignore"):
        spread_seen = float(np.std(target[seen])) or 1.0
        levels = known if known is not None else np.full(data.shape[-1], spread_seen)
        at = problem(steps)
        origin = coordinates.free(start)
        best = _search(at, origin, weights_of(levels), starts, spread, warmup, max_iterations, seed)
        if best is None:
            raise FloatingPointError(
                "the solution is not finite from any start: begin elsewhere, with more steps, or with step='rodas4' for a stiff field"
            )
        costs = best.costs
        while True:
            if known is None:
                best, levels = _with_noise(at, best, levels, weights_of, seen, size, max_iterations, sigma == "species")
            finer = problem(2 * steps)
            change = finer(weights_of(levels))(best.theta)[0] - best.residuals
            allowed = np.maximum(0.01, 1e-6 * spread_seen / levels).max()
            if not np.isfinite(change).all() or np.abs(change).max() < allowed or steps >= FINEST:
                break
            steps, at = 2 * steps, finer
            best = levenberg_marquardt(at(weights_of(levels)), best.theta, max_iterations) or best
        found = {name: ops.convert_to_numpy(value) for name, value in coordinates.values(ops.convert_to_tensor(best.theta)).items()}

    covariance, lost = _covariance(best.jacobian, coordinates.labels)
    if lost:
        warnings.warn(f"the observations do not determine {', '.join(lost)}", IdentifiabilityWarning, stacklevel=2)
    return Fit(
        coordinates=coordinates,
        theta=best.theta,
        covariance=covariance,
        parameters=coordinates.named(np.concatenate([np.ravel(found[name]) for name in coordinates.shapes])),
        errors=coordinates.named(coordinates.slopes(found) * np.sqrt(np.diag(covariance))),
        unidentified=lost,
        sigma=levels,
        history=tuple(float(np.sqrt(cost / count)) for cost in costs),
        noise=noise,
        times=moments,
        observed=data[0] if single else data,
        path_of=path_of,
        steps=steps,
    )


def _check(noise, steps, starts, warmup, max_iterations, step):
    if noise not in NOISES:
        raise ValueError(f"noise must be one of {', '.join(NOISES)}, got {noise!r}")
    for name, value, least in (("steps", steps, 1), ("starts", starts, 1), ("warmup", warmup, 0), ("max_iterations", max_iterations, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    check_method(step, num_steps=1, name="step")


def _known(sigma: Any, num_states: int) -> np.ndarray | None:
    if sigma is None or (isinstance(sigma, str) and sigma == "species"):
        return None
    if isinstance(sigma, str):
        raise ValueError(f"sigma must be None, 'species' or numbers, got {sigma!r}")
    levels = np.broadcast_to(np.asarray(sigma, "float64"), (num_states,))
    if not (levels > 0).all():
        raise ValueError(f"sigma must be above 0, got {levels.tolist()}")
    return levels


def _experiments(times: Any, observed: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Times `(time,)` and observations `(experiments, time, state)`; experiments at their own times share the union of them."""
    if isinstance(observed, (list, tuple)) and np.ndim(observed[0]) == 2:
        parts = [np.asarray(part, "float64") for part in observed]
        own = [check_times(row) for row in (times if np.ndim(times[0]) else [times] * len(parts))]
        if len(own) != len(parts):
            raise ValueError(f"times and observed must be as many, got {len(own)} and {len(parts)}")
        if len({row[0] for row in own}) > 1:
            raise ValueError(f"all experiments must begin at one time, got {sorted({row[0] for row in own})}")
        moments = np.unique(np.concatenate(own))
        data = np.full((len(parts), len(moments), parts[0].shape[-1]), np.nan)
        for number, (row, part) in enumerate(zip(own, parts, strict=True)):
            if part.shape != (len(row), data.shape[-1]):
                raise ValueError(f"observed[{number}] must be {(len(row), data.shape[-1])}, time × state, got {part.shape}")
            data[number, np.searchsorted(moments, row)] = part
        return moments, data, False
    moments, data = check_times(times), np.asarray(observed, "float64")
    if moments[-1] < moments[0]:
        raise ValueError("times must rise, got falling ones")
    if data.ndim not in (2, 3) or data.shape[-2] != len(moments):
        raise ValueError(f"observed must be (time, state) or (experiments, time, state) with {len(moments)} times, got {data.shape}")
    return moments, data[None] if data.ndim == 2 else data, data.ndim == 2


def _initial_state(initial: Any, data: np.ndarray) -> np.ndarray:
    shape = (data.shape[0], data.shape[-1])
    if initial is None:
        if not np.isfinite(data[:, 0]).all():
            raise ValueError("initial must be given where the first row of observed has gaps")
        return data[:, 0].copy()
    given = np.asarray(initial, "float64")
    if given.shape not in (shape, shape[1:]) or not np.isfinite(given).all():
        raise ValueError(f"initial must be {shape[1:]} or {shape} finite numbers, got {given.tolist()}")
    return np.broadcast_to(given, shape).copy()


def refine(moments: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A grid through the times whose steps are about as long as a `steps`th part of all, and where the times stand in it.

    Example:
        >>> refine(np.array([0.0, 1.0, 4.0]), 4)
        (array([0., 1., 2., 3., 4.]), array([0, 1, 4]))
    """
    gaps = np.diff(moments)
    counts = np.ceil(gaps / (moments[-1] - moments[0]) * steps - 1e-9).astype(int).clip(1)
    parts = [low + gap * np.arange(count) / count for low, gap, count in zip(moments, gaps, counts, strict=False)]
    return np.concatenate([*parts, moments[-1:]]), np.concatenate([[0], np.cumsum(counts)])


def _search(at, origin, weights, starts, spread, warmup, max_iterations, seed):
    rng = np.random.default_rng(seed)
    times_seen = np.flatnonzero((weights > 0).any(axis=(0, 2)))
    if not times_seen.size:
        raise ValueError("observed must hold numbers whose squares are finite")
    horizons = [times_seen[min(len(times_seen), share) - 1] for share in _doublings(len(times_seen))]
    ends = []
    for number in range(starts):
        theta = origin + (spread * rng.standard_normal(len(origin)) if number else 0.0)
        for horizon in horizons:
            shown = weights.copy()
            shown[:, horizon + 1 :] = 0.0
            if warmup:
                theta = descend(at(shown), theta, warmup)
            found = levenberg_marquardt(at(shown), theta, max_iterations if horizon == horizons[-1] else 20)
            if found is None:
                break
            theta = found.theta
        if found is not None:
            ends.append(found)
        if sum(found.cost <= (1 + 1e-6) * min(end.cost for end in ends) for found in ends) == ENOUGH:
            break
    return min(ends, key=lambda found: found.cost, default=None)


def _doublings(total: int) -> list[int]:
    """4, 8, 16 … and all."""
    shares = [share for share in (4 * 2**power for power in range(20)) if share < total]
    return [*shares, total]


def _with_noise(at, best, levels, weights_of, seen, size, max_iterations, each):
    """Estimate the noise, and where each species has its own, fit again with it, in turns."""
    for _ in range(20 if each else 1):
        squares = (best.residuals.reshape(seen.shape) * levels) ** 2
        counts = seen.sum(axis=(0, 1))
        if each:
            freedom = np.maximum(counts - size * counts / counts.sum(), 1.0)
            new = np.sqrt(squares.sum(axis=(0, 1)) / freedom)
        else:
            new = np.full_like(levels, np.sqrt(squares.sum() / max(counts.sum() - size, 1)))
        new = np.maximum(new, 1e-9 * levels)
        settled = np.allclose(new, levels, rtol=1e-4)
        levels = np.where(counts > 0, new, levels)
        best = levenberg_marquardt(at(weights_of(levels)), best.theta, max_iterations) or best
        if settled:
            break
    return best, levels


def _covariance(jacobian: np.ndarray, labels: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The inverse of the Fisher information, infinite where it is singular, and the names that it does not determine."""
    lengths = np.linalg.norm(jacobian, axis=0)
    scale = np.where(lengths > 0, lengths, 1.0)
    _, sizes, directions = np.linalg.svd(jacobian / scale, full_matrices=True)
    sizes = np.concatenate([sizes, np.zeros(len(labels) - len(sizes))])
    firm = sizes > 1e-6 * sizes.max()
    covariance = (directions[firm].T / sizes[firm] ** 2) @ directions[firm] / np.outer(scale, scale)
    lost = (np.abs(directions[~firm]) > 1e-3).any(axis=0)
    covariance[lost, lost] = np.inf
    return covariance, tuple(label for label, is_lost in zip(labels, lost, strict=True) if is_lost)

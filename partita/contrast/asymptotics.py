"""Standard errors of what noise-contrastive estimation finds, and the very optimum for one sample of noise.

    J = E_data[w g gᵀ] + c E_U[w g gᵀ],   V = Cov_data[(1 − h) g] + c²/ν Cov_U[h g],   Cov(θ̂) = J⁻¹ V J⁻¹ / n

h = σ(logit), w = h (1 − h), and g is the gradient of G − γ in the weights and γ. For a true model and c = ν
this is the theorem of Gutmann and Hyvärinen (2012); for one that is not it still holds (White 1982). At the
optimum the gradient s of the loss is 0; how far off the weights are, in standard errors, is n sᵀ V⁻¹ s = (θ −
θ̂)ᵀ Cov(θ̂)⁻¹ (θ − θ̂), of χ² where chance alone is at work (Rao 1948).
"""

import math
import warnings
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from keras import ops
from scipy.stats import chi2

from partita.backend import compiled
from partita.backend.derivatives import derivative
from partita.contrast import gamma
from partita.contrast.pairing import draw, log_noise
from partita.convergence import ConvergenceWarning

CHUNK = 1 << 15  # points differentiated at a time
MOST = 1000  # weights: the covariance has as many rows
NEWTON = 100
BY_CHANCE = 0.99  # of trainings that have converged, so many are found to
CLOSE = 0.1  # standard errors from the optimum, where it was looked for
REDUNDANT = 1e-11  # smallest eigenvalue of J, its diagonal scaled to 1

Seen = list[tuple[np.ndarray, np.ndarray]]  # logits and their gradients, of data and of noise


@dataclass(frozen=True)
class Estimate:
    """Weights of an energy and log Z, with their standard errors.

    Args:
        parameters: Weights by name, as the energy's `trainable_variables`.
        errors: Their asymptotic standard errors, in the same shapes.
        log_partition: log Z.
        log_partition_error: Its standard error.
        covariance: Of all weights, flat and one after the other, and of log Z at the end.
        converged: Whether the weights are at the optimum, as far as chance lets it be told. Where they are
            not, no number here is to be trusted.
        distance: From the optimum, root mean square over weights and log Z, in standard errors: below about 1
            after a good fit.

    Example:
        >>> found = Estimate({"a": np.array(1.02)}, {"a": np.array(0.01)}, 0.25, 0.02, np.diag([1e-4, 4e-4]))
        >>> print(found)
        a      1.02 ± 0.01
        log Z  0.25 ± 0.02
    """

    parameters: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    log_partition: float
    log_partition_error: float
    covariance: np.ndarray
    converged: bool = True
    distance: float = 0.0

    @property
    def told(self) -> str:
        """Whether the fit converged, in words."""
        if self.converged:
            return "converged"
        return (
            f"not converged: about {self.distance:.3g} standard errors from the optimum, so values and "
            f"errors are not to be trusted"
        )

    def __str__(self) -> str:
        rows = [(name, self.parameters[name], self.errors[name]) for name in self.parameters]
        rows.append(("log Z", np.array(self.log_partition), np.array(self.log_partition_error)))
        width = max(len(name) for name, _, _ in rows)
        lines = [f"{name:<{width}}  {_show(value)} ± {_show(error)}" for name, value, error in rows]
        return "\n".join(lines if self.converged else [*lines, self.told])


def _show(values: np.ndarray) -> str:
    return np.array2string(np.asarray(values), precision=4) if np.ndim(values) else f"{float(values):.4g}"


class _Energy:
    """An energy and its γ as a function of one vector: the weights end to end, then γ.

    Args:
        model: The `EnergyModel`.
        x: The data.
        seed: Of the noise, ν points for each point of data.

    Raises:
        ValueError: if there are more weights than a covariance is computed of.
    """

    def __init__(self, model: Any, x: np.ndarray, seed: int):
        self.model, self.variables = model, model.energy.trainable_variables
        self.shapes = [tuple(variable.shape) for variable in self.variables]
        sizes = [math.prod(shape) for shape in self.shapes]
        self.size = sum(sizes)
        if self.size > MOST:
            raise ValueError(f"standard errors are for energies of at most {MOST} weights, got {self.size}")
        self.cuts = [slice(end - size, end) for end, size in zip(accumulate(sizes), sizes, strict=True)]
        self.samples = [(x, log_noise(model.noise, x)), draw(model.noise, len(x) * model.num_noise, seed)]
        frozen = [variable.value for variable in model.energy.non_trainable_variables]

        def energies(flat, points):
            return model._flat(model.energy.stateless_call(self.parts(flat), frozen, points)[0], "energy")

        self._value = compiled(energies)
        self._slope = compiled(
            lambda flat, along, points: derivative(lambda flat: energies(flat, points), flat, along)
        )

    def parts(self, flat: Any) -> list[Any]:
        """The weights of a vector, each in its shape."""
        return [ops.reshape(flat[cut], shape) for cut, shape in zip(self.cuts, self.shapes, strict=True)]

    def by_name(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """The weights of a vector under their names, or their paths where names are not unique."""
        unique = len({variable.name for variable in self.variables}) == len(self.variables)
        return {
            (variable.name if unique else variable.path): flat[cut].reshape(shape)
            for variable, cut, shape in zip(self.variables, self.cuts, self.shapes, strict=True)
        }

    def now(self) -> np.ndarray:
        """The vector as the model has it."""
        parts = [np.ravel(ops.convert_to_numpy(part)) for part in (*self.variables, self.model.gamma)]
        return np.concatenate(parts).astype(float)

    def put_back(self, flat: np.ndarray) -> None:
        """Give the model the weights and the γ of a vector."""
        for variable, value in zip(self.variables, self.by_name(flat).values(), strict=True):
            variable.assign(value)
        self.model._gamma.assign(flat[-1] / self.model.learning_rate_factor)

    def look(self, flat: np.ndarray) -> Seen:
        """Logits `(n,)` and their gradients `(n, weights + 1)`, of data and of noise."""
        return [self._look_at(flat, *sample) for sample in self.samples]

    def _look_at(self, flat, points, log_noise):
        at = ops.convert_to_tensor(flat[:-1].astype(np.float32))
        directions = [ops.convert_to_tensor(along) for along in np.eye(self.size, dtype=np.float32)]
        found = []
        for start in range(0, len(points), CHUNK):
            part = points[start : start + CHUNK]
            # one shape, compiled once
            filled = ops.convert_to_tensor(part[np.arange(min(CHUNK, len(points))) % len(part)])
            columns = [self._value(at, filled), *(self._slope(at, along, filled) for along in directions)]
            found.append(np.stack([ops.convert_to_numpy(column)[: len(part)] for column in columns], axis=1))
        values, slopes = np.split(np.concatenate(found).astype(float), [1], axis=1)
        logits = values[:, 0] - flat[-1]
        if self.model.loss_name == "nce":
            logits = logits - log_noise - np.log(self.model.num_noise)
        # what leaves no room for a point says nothing
        slopes = np.where(np.isneginf(logits)[:, None], 0.0, slopes)
        return logits, np.pad(slopes, [(0, 0), (0, 1)], constant_values=-1.0)


def estimate(model: Any, x: np.ndarray, seed: int, refine: bool) -> Estimate:
    """See `EnergyModel.estimate`."""
    energy, weight = _Energy(model, x, seed), model._noise_weight
    flat = energy.now()
    seen = energy.look(flat)
    if refine:
        (of_data, _), (of_noise, _) = seen
        flat[-1] = gamma.root(of_data + flat[-1], of_noise + flat[-1], weight)
        seen = energy.look(flat)
    for (logits, slopes), (points, _), kind in zip(seen, energy.samples, ("data", "noise"), strict=True):
        bad = np.isnan(logits) | (logits == np.inf) | ~np.isfinite(slopes).all(axis=1)
        if bad.any():
            raise ValueError(
                f"energy and its slope in the weights must be finite where there is {kind}, got others at "
                f"{points[bad][0]}"
            )
    if refine:
        flat, seen = _refined(energy, flat, seen, weight)
        energy.put_back(flat)
        limit, advice = CLOSE**2, "start from other weights"
    else:
        limit = chi2.ppf(BY_CHANCE, len(flat)) / len(flat)
        advice = "fit longer, at a falling learning rate, or take refine=True"
    bread, scores = _pieces(seen, weight)
    inverse = _inverse(bread)
    meat = np.atleast_2d(np.cov(scores[0], rowvar=False) + np.cov(scores[1], rowvar=False) / model.num_noise)
    covariance = inverse @ meat @ inverse / len(x)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    distance = _distance(scores[0].mean(axis=0) + scores[1].mean(axis=0), meat / len(x))
    converged = bool(distance**2 <= limit)
    values, spreads = energy.by_name(flat), energy.by_name(errors)
    log_z, log_z_error = model.log_partition, float(errors[-1])
    found = Estimate(values, spreads, log_z, log_z_error, covariance, converged, distance)
    if not converged:
        warnings.warn(f"{found.told}: {advice}", ConvergenceWarning, stacklevel=3)
    return found


def _refined(energy: _Energy, flat: np.ndarray, seen: Seen, weight: float) -> tuple[np.ndarray, Seen]:
    """The optimum for these samples, and what is seen there, by Newton's steps.

    They are damped as Levenberg and Marquardt do: points far out may make a step too long by orders of
    magnitude.
    """

    def loss(seen):
        (of_data, _), (of_noise, _) = seen
        return np.logaddexp(0, -of_data).mean() + weight * np.logaddexp(0, of_noise).mean()

    damping = 0.0
    for _ in range(NEWTON):
        bread, scores = _pieces(seen, weight)
        before, gradient = loss(seen), scores[0].mean(axis=0) + scores[1].mean(axis=0)
        for _ in range(20):
            move = _step(bread, gradient, damping)
            moved = energy.look(flat + move)
            if loss(moved) < before:
                flat, seen, damping = flat + move, moved, damping / 10
                break
            damping = max(10 * damping, 1e-6)
        else:
            break  # as low as float32 can tell
        if np.abs(move).max() < 1e-6 * (1 + np.abs(flat).max()):
            break
    return flat, seen


def _inverse(bread: np.ndarray) -> np.ndarray:
    """J⁻¹, by way of a J whose diagonal is 1."""
    scale, values, vectors = _spectrum(bread)
    if not (values > REDUNDANT).all():
        raise ValueError(
            "energy has weights that change nothing, alone or together: they have no standard error"
        )
    return (vectors / values) @ vectors.T / np.outer(scale, scale)


def _step(bread: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
    """(J + damping · diag J)⁻¹ times the gradient; no step along what J says nothing of."""
    scale, values, vectors = _spectrum(bread)
    known = values > REDUNDANT
    along = np.where(known, vectors.T @ (gradient / scale), 0) / np.where(known, values + damping, 1)
    return vectors @ along / scale


def _spectrum(bread: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what scales J to a diagonal of 1 where it is not 0, and eigenvalues and vectors of J so."""
    scale = np.sqrt(np.diag(bread))
    scale = np.where(scale > 0, scale, 1)
    return scale, *np.linalg.eigh(bread / np.outer(scale, scale))


def _distance(gradient: np.ndarray, covariance: np.ndarray) -> float:
    """Root mean square of a gradient in units of its standard errors; infinite where it has none."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    with np.errstate(over="ignore"):
        parts = (vectors.T @ (gradient / scale)) ** 2 / np.maximum(values, REDUNDANT)
    return float(np.sqrt(parts.mean()))


def _pieces(seen: Seen, weight: float) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """J, and the contributions of data and noise to the gradient, points × weights."""
    bread, scores = np.zeros(2 * seen[0][1].shape[1:]), []
    for (logits, slopes), scale, sign in zip(seen, (1.0, weight), (1, -1), strict=True):
        share = 0.5 * (1 + np.tanh(logits / 2))
        total = np.einsum("n,ni,nj->ij", share * (1 - share), slopes, slopes, optimize=True)
        bread = bread + scale * total / len(logits)
        scores.append(scale * sign * (1 - share if sign > 0 else share)[:, None] * slopes)
    return bread, (scores[0], scores[1])

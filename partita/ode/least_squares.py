"""The smallest sum of squares, from exact Jacobians.

(JᵀJ + λ · diag(JᵀJ)) δ = −Jᵀr,   θ ← θ + δ where that lowers ‖r‖², λ smaller after it and larger otherwise
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LONGEST = 1.0  # of a step in any coordinate: a factor of e where a parameter is positive
Residuals = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Minimum:
    """Where a search ended: θ, the residuals and their Jacobian there, and the sum of squares after each step."""

    theta: np.ndarray
    residuals: np.ndarray
    jacobian: np.ndarray
    costs: tuple[float, ...]

    @property
    def cost(self) -> float:
        """The sum of squares."""
        return self.costs[-1]


def descend(residuals: Residuals, theta: np.ndarray, steps: int, rate: float = 0.05, clip: float = 1.0) -> np.ndarray:
    """`steps` steps of Adam along Jᵀr, its norm clipped: slow, and hard to lead astray. A step into nowhere ends it."""
    mean, square, best, lowest = np.zeros_like(theta), np.zeros_like(theta), theta, float("inf")
    for count in range(1, steps + 1):
        value, jacobian = residuals(theta)
        if not _finite(value, jacobian):
            break
        if value @ value < lowest:
            best, lowest = theta, float(value @ value)
        gradient = jacobian.T @ value
        gradient = gradient * min(1.0, clip / (np.linalg.norm(gradient) + 1e-300))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        theta = theta - rate * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.99**count)) + 1e-12)
    return best


def levenberg_marquardt(residuals: Residuals, theta: np.ndarray, steps: int, tolerance: float = 1e-10) -> Minimum | None:
    """Search from θ; None if the residuals are not finite there.

    It ends when a step lowers the sum of squares by less than its `tolerance`th part, none does so, or after `steps`.

    Example:
        >>> found = levenberg_marquardt(lambda x: (x**2 - 4, np.diag(2 * x)), np.array([1.0]), 50)
        >>> found.theta.round(6).tolist()
        [2.0]
    """
    value, jacobian = residuals(theta)
    if not _finite(value, jacobian):
        return None
    costs, damping = [float(value @ value)], 1e-2
    for _ in range(steps):
        curvature, slope = jacobian.T @ jacobian, jacobian.T @ value
        scale = np.diag(curvature) + 1e-12 * np.trace(curvature) + 1e-300
        delta = -np.linalg.solve(curvature + damping * np.diag(scale), slope)
        delta *= min(1.0, LONGEST / (np.abs(delta).max() + 1e-300))
        new_value, new_jacobian = residuals(theta + delta)
        gain = costs[-1] - float(new_value @ new_value) if _finite(new_value, new_jacobian) else -np.inf
        if gain < 0:
            damping *= 5
            if damping > 1e12:
                break
            continue
        theta, value, jacobian = theta + delta, new_value, new_jacobian
        costs.append(float(value @ value))
        damping = max(damping / 5, 1e-12)
        if gain <= tolerance * costs[-1]:
            break
    return Minimum(theta, value, jacobian, tuple(costs))


def _finite(value: np.ndarray, jacobian: np.ndarray) -> bool:
    return bool(np.isfinite(value).all() and np.isfinite(jacobian).all())

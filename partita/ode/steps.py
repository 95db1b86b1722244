"""One step of a solver: from the state at t to the state at t + dt.

    y(t + dt) = y + dt · Σ_i b_i k_i,    k_i = f(t + c_i dt, y + dt · Σ_j a_ij k_j)

A field is a function `(t, y)` → dy/dt. Every step is a pure function `(field, t, y, dt)` → y; a negative dt
goes backwards. States are tensors `(..., state)`; t and dt are numbers or tensors that broadcast against
them.
"""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from partita.backend.derivatives import derivative
from partita.types import Tensor

Field = Callable[[Tensor, Tensor], Tensor]
FieldFrom = Callable[[Tensor], Field]  # from the start of a step to the field as that step sees it
Step = Callable[[Field, Tensor, Tensor, Tensor], Tensor]


def euler(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """One step of Euler's method, order 1: a step of a plain recurrent net.

    Example:
        >>> float(euler(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)[0])
        0.9
    """
    return y + dt * field(t, y)


def midpoint(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """One step of the midpoint rule, order 2.

    Example:
        >>> float(midpoint(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)[0])
        0.905
    """
    return y + dt * field(t + dt / 2, y + dt / 2 * field(t, y))


def heun(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """One step of Heun's method, the explicit trapezoid, order 2.

    Example:
        >>> float(heun(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)[0])
        0.905
    """
    first = field(t, y)
    return y + dt / 2 * (first + field(t + dt, y + dt * first))


def rk4(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """One step of the classical Runge–Kutta method, order 4.

    Example:
        >>> float(rk4(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)[0])
        0.9048375
    """
    first = field(t, y)
    second = field(t + dt / 2, y + dt / 2 * first)
    third = field(t + dt / 2, y + dt / 2 * second)
    fourth = field(t + dt, y + dt * third)
    return y + dt / 6 * (first + 2 * second + 2 * third + fourth)


class Embedded(NamedTuple):
    """What a step with a built-in error estimate gives, each of the state's shape.

    `slope` is the field at the end of the step, `middle` the solution half way, both for interpolation
    between the ends.

    Example:
        >>> taken = dopri5_embedded(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)
        >>> float(taken.y[0]), float(taken.middle[0]), bool(abs(taken.error[0]) < 1e-6)
        (0.9048374, 0.9512294, True)
    """

    y: Tensor
    error: Tensor
    slope: Tensor
    middle: Tensor


_DOPRI_NODES = (0.2, 0.3, 0.8, 8 / 9, 1.0)
_DOPRI_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_DOPRI_WEIGHTS = (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
# The weights less those of the embedded method of order 4.
_DOPRI_ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Shampine's weights of the solution half way, order 4.
_DOPRI_MIDDLE = (
    6025192743 / 30085553152 / 2,
    0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)


def dopri5(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """One step of the method of Dormand and Prince, order 5.

    Example:
        >>> float(dopri5(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)[0])
        0.9048374
    """
    return _dopri_stages(field, t, y, dt, field(t, y))[0]


def dopri5_embedded(field: Field, t: Tensor, y: Tensor, dt: Tensor, slope: Tensor | None = None) -> Embedded:
    """`dopri5` with the estimate of its error, by the method of order 4 among its stages.

    Args:
        field, t, y, dt: As for every step.
        slope: The field at `(t, y)`, where the step before has left it; None computes it.

    Source: Dormand, Prince 1980; the middle: Shampine 1986.

    Example:
        >>> bool(ops.all(dopri5_embedded(lambda t, y: 0 * y, 0.0, ops.ones(2), 0.1).error == 0))
        True
    """
    y_new, slopes = _dopri_stages(field, t, y, dt, field(t, y) if slope is None else slope)
    slopes.append(field(t + dt, y_new))
    return Embedded(y_new, dt * _sum(_DOPRI_ERROR, slopes), slopes[-1], y + dt * _sum(_DOPRI_MIDDLE, slopes))


def _dopri_stages(
    field: Field, t: Tensor, y: Tensor, dt: Tensor, slope: Tensor
) -> tuple[Tensor, list[Tensor]]:
    slopes = [slope]
    for node, weights in zip(_DOPRI_NODES, _DOPRI_STAGES, strict=True):
        slopes.append(field(t + node * dt, y + dt * _sum(weights, slopes)))
    return y + dt * _sum(_DOPRI_WEIGHTS, slopes), slopes


def _sum(weights: tuple[float, ...], terms: list[Tensor]) -> Tensor:
    return sum(weight * term for weight, term in zip(weights, terms, strict=True) if weight)


def rosenbrock_euler(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """Return the state after one step of the linearly implicit Euler method, of order 1.

    It is stable for stiff fields: (1 − dt J) Δ = dt f + dt² ∂f/∂t.

    Example:
        >>> float(rosenbrock_euler(lambda t, y: -1e6 * y, 0.0, ops.array([1.0]), 0.1)[0])
        0.00001
    """
    jacobian, drift = _linearize(field, t, y)
    return y + _apply(_resolvent(jacobian, dt), dt * field(t, y) + dt * dt * drift)


# Stages of RODAS in the form that needs no product with J: (1 − γ dt J) u_i = γ dt f_i + γ Σ_j c_ij u_j + γ
# γ_i dt² ∂f/∂t.
_GAMMA = 0.25
_RODAS_NODES = (0.0, 0.386, 0.21, 0.63, 1.0, 1.0)
_RODAS_DRIFTS = (0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0)
_RODAS_STATES: tuple[tuple[float, ...], ...] = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
)
_RODAS_COUPLINGS: tuple[tuple[float, ...], ...] = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
)


def rodas4(field: Field, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """Return the state after one step of RODAS, a linearly implicit method of order 4.

    It is for stiff fields of few states: its matrix is dense.

    Stiffness costs neither stability nor steps (the method is L-stable). The Jacobian of the field is exact.

    Source: Hairer, Wanner, Solving Ordinary Differential Equations II, section IV.7.

    Example:
        >>> float(rodas4(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)[0])
        0.9048374
    """
    return _rodas_stages(field, t, y, dt)[0]


def rodas4_embedded(field: Field, t: Tensor, y: Tensor, dt: Tensor, slope: Tensor | None = None) -> Embedded:
    """`rodas4` with the estimate of its error, by the method of order 3 among its stages.

    Args:
        field, t, y, dt: As for every step.
        slope: The field at `(t, y)`; None computes it.

    Example:
        >>> taken = rodas4_embedded(lambda t, y: -y, 0.0, ops.array([1.0]), 0.1)
        >>> bool(abs(taken.error[0]) < 1e-4)
        True
    """
    slope = field(t, y) if slope is None else slope
    y_new, error = _rodas_stages(field, t, y, dt, slope)
    end = field(t + dt, y_new)
    # Half way on the cubic through both ends and their slopes.
    return Embedded(y_new, error, end, (y + y_new) / 2 + dt / 8 * (slope - end))


def _rodas_stages(
    field: Field, t: Tensor, y: Tensor, dt: Tensor, slope: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    jacobian, drift = _linearize(field, t, y)
    inverse = _resolvent(jacobian, _GAMMA * dt)
    stages: list[Tensor] = []
    rows = zip(_RODAS_NODES, _RODAS_DRIFTS, _RODAS_STATES, _RODAS_COUPLINGS, strict=True)
    for node, share, states, couplings in rows:
        at = y + _sum(states, stages) if stages else y
        value = slope if slope is not None and not stages else field(t + node * dt, at)
        right = _GAMMA * dt * value + _GAMMA * share * dt * dt * drift
        if stages:
            right = right + _GAMMA * _sum(couplings, stages)
        stages.append(_apply(inverse, right))
    return at + stages[-1], stages[-1]


def _linearize(field: Field, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """∂f/∂y `(..., state, state)` and ∂f/∂t `(..., state)`."""
    count = y.shape[-1]
    units = ops.eye(count, dtype=y.dtype)
    columns = [
        derivative(lambda at: field(t, at), y, ops.broadcast_to(units[i], ops.shape(y))) for i in range(count)
    ]
    t = ops.cast(t, y.dtype)
    drift = derivative(lambda at: field(at, y), t, ops.ones_like(t))
    return ops.stack(columns, axis=-1), drift


def _resolvent(jacobian: Tensor, scale: Tensor) -> Tensor:
    """(1 − scale · J)⁻¹; one inverse serves all stages."""
    scale = ops.cast(scale, jacobian.dtype)
    if ops.ndim(scale):
        scale = scale[..., None]
    return ops.inv(ops.eye(jacobian.shape[-1], dtype=jacobian.dtype) - scale * jacobian)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return ops.squeeze(ops.matmul(matrix, vector[..., None]), -1)


STEPS: dict[str, Step] = {
    step.__name__: step for step in (euler, midpoint, heun, rk4, dopri5, rosenbrock_euler, rodas4)
}
EMBEDDED: dict[str, tuple[Callable[..., Embedded], int]] = {
    "dopri5": (dopri5_embedded, 5),
    "rodas4": (rodas4_embedded, 4),
}

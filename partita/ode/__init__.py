"""Ordinary differential equations: no Z, the state is a point, and its recursion is a recurrent net.

x(t + h) = x(t) + h f(x(t), t)
"""

from partita.backend import choose

choose()

from partita.ode.inference import fit
from partita.ode.layer import Solve
from partita.ode.recurrence import Recurrent, recurrent
from partita.ode.result import ConvergenceWarning, Fit, IdentifiabilityWarning
from partita.ode.solver import solve
from partita.ode.steps import (
    STEPS,
    Embedded,
    dopri5,
    dopri5_embedded,
    euler,
    heun,
    midpoint,
    rk4,
    rodas4,
    rodas4_embedded,
    rosenbrock_euler,
)

__all__ = [
    "STEPS",
    "ConvergenceWarning",
    "Embedded",
    "Fit",
    "IdentifiabilityWarning",
    "Recurrent",
    "Solve",
    "dopri5",
    "dopri5_embedded",
    "euler",
    "fit",
    "heun",
    "midpoint",
    "recurrent",
    "rk4",
    "rodas4",
    "rodas4_embedded",
    "rosenbrock_euler",
    "solve",
]

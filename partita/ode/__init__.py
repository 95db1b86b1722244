"""Ordinary differential equations: no Z, the state is a point, and its recursion is a recurrent net.

x(t + h) = x(t) + h f(x(t), t)
"""

from partita.backend import choose

choose()

from partita.convergence import ConvergenceWarning
from partita.ode.inference import fit
from partita.ode.layer import Solve
from partita.ode.outcome import STATUSES, CoarseStepWarning, Solution, ToleranceWarning
from partita.ode.recurrence import Recurrent, recurrent
from partita.ode.result import Fit, IdentifiabilityWarning
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
    "STATUSES",
    "STEPS",
    "CoarseStepWarning",
    "ConvergenceWarning",
    "Embedded",
    "Fit",
    "IdentifiabilityWarning",
    "Recurrent",
    "Solution",
    "Solve",
    "ToleranceWarning",
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

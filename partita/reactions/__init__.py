"""Reaction networks and their exact stochastic simulation.

Z is the total propensity, the clock of a jump process.

dP(n)/dt = Σ_r a_r(n − Δ_r) P(n − Δ_r) − a_r(n) P(n)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from partita.reactions.analysis.master import BoundsWarning, MasterEquation
from partita.reactions.model.reaction import Event, Reaction
from partita.reactions.network import Network, read_sbml

if TYPE_CHECKING:
    from partita.reactions.simulation.ensemble import SimulationWarning, simulate
    from partita.reactions.simulation.trajectory import trace

__all__ = [
    "BoundsWarning",
    "Event",
    "MasterEquation",
    "Network",
    "Reaction",
    "SimulationWarning",
    "read_sbml",
    "simulate",
    "trace",
]

# these bring Numba and xarray along
_COMPILED = {"SimulationWarning": "ensemble", "simulate": "ensemble", "trace": "trajectory"}


def __getattr__(name: str) -> Any:
    if name in _COMPILED:
        value = globals()[name] = getattr(
            import_module(f"partita.reactions.simulation.{_COMPILED[name]}"), name
        )
        return value
    raise AttributeError(f"module 'partita.reactions' has no attribute {name!r}")

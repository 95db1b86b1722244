"""Reaction networks and their exact stochastic simulation: Z is the total propensity, the clock of a jump process.

dP(n)/dt = Σ_r a_r(n − Δ_r) P(n − Δ_r) − a_r(n) P(n)
"""

from partita.reactions.master import MasterEquation
from partita.reactions.network import Network
from partita.reactions.reaction import Event, Reaction
from partita.reactions.sbml import read_sbml

__all__ = ["Event", "MasterEquation", "Network", "Reaction", "read_sbml"]

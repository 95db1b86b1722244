"""Normalizing flows: Z is known by construction, for a change of variables keeps account of volumes.

log q(x) = log p(f(x)) + log|det ∂f/∂x|
"""

from partita.backend import choose

choose()

from partita.flows.autoregressive import MaskedAutoregressive
from partita.flows.bijection import Bijection, Chain, Inverse
from partita.flows.coupling import AdditiveCoupling, AffineCoupling, Coupling, SplineCoupling
from partita.flows.distributions import Distribution, Logistic, Normal, StudentT
from partita.flows.explore import Importance, image_grid, importance, interpolate
from partita.flows.flow import Flow
from partita.flows.mixing import ActNorm, InvertibleConv1x1, InvertibleDense, Permutation, Reverse, Scaling
from partita.flows.ranges import Logit, Sigmoid, Standardize
from partita.flows.recipes import glow, neural_spline, nice, real_nvp
from partita.flows.reshape import FactorOut, Flatten, Squeeze
from partita.flows.rows import LostInverseWarning

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Bijection",
    "Chain",
    "Coupling",
    "Distribution",
    "FactorOut",
    "Flatten",
    "Flow",
    "Importance",
    "Inverse",
    "InvertibleConv1x1",
    "InvertibleDense",
    "Logistic",
    "Logit",
    "LostInverseWarning",
    "MaskedAutoregressive",
    "Normal",
    "Permutation",
    "Reverse",
    "Scaling",
    "Sigmoid",
    "SplineCoupling",
    "Squeeze",
    "Standardize",
    "StudentT",
    "glow",
    "image_grid",
    "importance",
    "interpolate",
    "neural_spline",
    "nice",
    "real_nvp",
]

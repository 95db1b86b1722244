"""Z never computed: learned, or cancelled, by telling data from noise.

p(1|x) = σ(G(x) − log Z − log U(x) − log ν)
"""

from partita.backend import choose

choose()

from partita.contrast.asymptotics import Estimate
from partita.contrast.langevin import mala
from partita.contrast.nce import EnergyModel
from partita.contrast.noise import LogUniform, Noise, Normal, Uniform, Unigram
from partita.contrast.sampled_softmax import SampledSoftmax
from partita.contrast.skipgram import SkipGram
from partita.contrast.vectors import WordVectors
from partita.convergence import ConvergenceWarning

__all__ = [
    "ConvergenceWarning",
    "EnergyModel",
    "Estimate",
    "LogUniform",
    "Noise",
    "Normal",
    "SampledSoftmax",
    "SkipGram",
    "Uniform",
    "Unigram",
    "WordVectors",
    "mala",
]

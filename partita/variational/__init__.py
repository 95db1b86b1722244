"""Z bounded, or played against: fit q(x) to data by a KL divergence between joint distributions.

KL(p(x, z) ‖ q(x, z)) = KL(p(x) ‖ q(x)) + E_x KL(p(z|x) ‖ q(z|x)) ≥ KL(p(x) ‖ q(x))
"""

from partita.backend import choose

choose()

from partita.convergence import ConvergenceWarning
from partita.variational.aae import AAE
from partita.variational.ali import ALI
from partita.variational.gan import GAN
from partita.variational.gaussian import (
    StandardNormal,
    kl_between,
    kl_to_standard,
    normal_log_prob,
    reparameterize,
    split_gaussian,
)
from partita.variational.likelihood import (
    BernoulliLikelihood,
    Likelihood,
    LogisticLikelihood,
    NormalLikelihood,
)
from partita.variational.measures import Coverage, Modes, grid, mmd, mode_coverage, ring
from partita.variational.mixture import GaussianMixture
from partita.variational.rounds import Rounds
from partita.variational.vae import VAE
from partita.variational.watchdog import TrainingStoppedWarning, Watchdog

__all__ = [
    "AAE",
    "ALI",
    "GAN",
    "VAE",
    "BernoulliLikelihood",
    "ConvergenceWarning",
    "Coverage",
    "GaussianMixture",
    "Likelihood",
    "LogisticLikelihood",
    "Modes",
    "NormalLikelihood",
    "Rounds",
    "StandardNormal",
    "TrainingStoppedWarning",
    "Watchdog",
    "grid",
    "kl_between",
    "kl_to_standard",
    "mmd",
    "mode_coverage",
    "normal_log_prob",
    "reparameterize",
    "ring",
    "split_gaussian",
]

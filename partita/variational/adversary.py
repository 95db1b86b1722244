"""What the discriminator and the generator minimise, given the scores of data and of what was generated.

D = σ(score);   non-saturating: −E log D(x) − E log(1 − D(G(z)))  against  −E log D(G(z))
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from partita.types import Tensor


class Adversary(NamedTuple):
    """Losses of both players, and how sure the discriminator's scores are, 0 to 1.

    All three are functions of (scores of data, scores of what was generated).
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Any, Tensor], Tensor]  # the first None where it needs no scores of data
    certainty: Callable[[Tensor, Tensor], Tensor]
    in_pairs: bool = False  # that loss needs the scores of data, too
    # the penalty pulls gradients between data and generated to 1; else those at both to 0
    one_centred: bool = False
    default_penalty: float = 0.0


def _certainty(real: Tensor, fake: Tensor) -> Any:
    """Mean of |2 D − 1|: 1 where D is pinned at 0 or 1 everywhere."""
    return ops.mean(ops.abs(2 * ops.sigmoid(ops.concatenate([real, fake], axis=0)) - 1))


ADVERSARIES = {
    "non-saturating": Adversary(  # Goodfellow et al. 2014
        lambda real, fake: ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)),
        lambda real, fake: ops.mean(ops.softplus(-fake)),
        _certainty,
    ),
    "hinge": Adversary(  # Lim, Ye 2017
        lambda real, fake: ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake)),
        lambda real, fake: -ops.mean(fake),
        lambda real, fake: ops.mean(ops.minimum(ops.abs(ops.concatenate([real, fake], axis=0)), 1.0)),
    ),
    "wasserstein": Adversary(  # Arjovsky et al. 2017; Gulrajani et al. 2017
        lambda real, fake: ops.mean(fake) - ops.mean(real),
        lambda real, fake: -ops.mean(fake),
        lambda real, fake: 0.0 * ops.mean(real),  # its scores have no zero
        one_centred=True,
        default_penalty=10.0,
    ),
    "relativistic": Adversary(  # Jolicoeur-Martineau 2018, pairs
        lambda real, fake: ops.mean(ops.softplus(fake - real)),
        lambda real, fake: ops.mean(ops.softplus(real - fake)),
        lambda real, fake: ops.mean(ops.abs(2 * ops.sigmoid(real - fake) - 1)),
        in_pairs=True,
    ),
}


def adversary(loss: str) -> Adversary:
    """The losses of this name.

    Raises:
        ValueError: if there are none.
    """
    if loss not in ADVERSARIES:
        raise ValueError(f"loss must be one of {', '.join(ADVERSARIES)}, got {loss!r}")
    return ADVERSARIES[loss]

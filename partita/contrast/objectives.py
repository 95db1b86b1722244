"""What telling data from noise costs: losses on logits.

    binary:    −log σ(s(x)) − c · mean_j log σ(−s(x'_j))
    ranking:   −log exp(s(x)) / (exp(s(x)) + Σ_j exp(s(x'_j)))

s is how much more likely a point is data than noise, on a logarithmic scale; x' are the ν points of noise
drawn for x. c is ν, or 1.
"""

from keras import ops

from partita.types import Tensor

LOSSES = ("nce", "article", "ranking", "negative_sampling")  # all but one are `binary`


def binary(data: Tensor, noise: Tensor, weight: float) -> Tensor:
    """Compute the logistic loss `(batch,)` of telling data from noise.

    It takes the logits of data `(batch,)` and noise `(batch, ν)`; all noise of a point together counts
    `weight` times.

    Example:
        >>> [round(float(loss), 3) for loss in binary(ops.array([0.0]), ops.array([[0.0, 0.0]]), 2)]
        [2.079]
    """
    return ops.softplus(-data) + weight * ops.mean(ops.softplus(noise), axis=-1)


def ranking(data: Tensor, noise: Tensor) -> Tensor:
    """Loss `(batch,)` of logits of data `(batch,)` and noise `(batch, ν)`: which of 1 + ν is the data?

    A constant in all cancels.

    Source: Jozefowicz et al. 2016; van den Oord et al. 2018 (InfoNCE).

    Example:
        >>> [round(float(loss), 3) for loss in ranking(ops.array([0.0]), ops.array([[0.0, 0.0]]))]
        [1.099]
    """
    return ops.logsumexp(ops.concatenate([data[:, None], noise], axis=1), axis=1) - data

"""Sums over all tag paths of a chain, by the recursion of `messages.py`.

    Z_{t+1} = (Z_t G) ⊗ H_{t+1},   G = exp(transitions),   H_t = exp(scores_t)

Sums run in `SCALED` and, where a path that may count would underflow there, in `LOG`. The gradient of log Z
is the forward–backward recursion rather than the derivative of the scan; it can be differentiated again,
forwards and backwards.
"""

from keras import ops

from partita.backend.derivatives import differentiable, with_gradient
from partita.crf.messages import (
    INFINITY,
    LOG,
    SCALED,
    backward,
    before,
    forward,
    link,
    log,
    logsumexp,
    standardize,
    total,
    walk,
)
from partita.types import Tensor

# A sum of positive float32 numbers that reaches this has lost nothing that counts: what underflows is below
# 1.2e-38.
SMALLEST_EXACT = 1e-30


def log_partition(
    scores: Tensor,
    transitions: Tensor,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """Logarithm of the sum of exp(score) over all tag paths.

    Its gradient in `scores` is the tag marginals, in `transitions` the expected number of each transition. An
    entry of −inf forbids: a tag at a step, a transition, a start or an end. Exact at any scale of scores;
    half precision is computed in float32. Derivatives of any order are right, forwards and backwards; the
    second ones are the covariances of the counts.

    Args:
        scores: `(batch, time, tags)`, log weights of each tag at each step.
        transitions: `(tags, tags)`, log weights of going from the row's tag to the column's.
        mask: `(batch, time)` booleans, True = real. Padding may stand anywhere: the chain links what is real.
        start: `(tags,)`, log weights of the first real step's tag; zero if None.
        end: `(tags,)`, log weights of the last real step's tag; zero if None.

    Returns:
        `(batch,)`, in nats: 0 where a sequence is all padding, −inf where no path is allowed. NaN or +inf at
            a real step, or in
        the other weights, makes the sequence's sum NaN, and its gradient; at padding no score counts,
        whatever it is.

    Raises:
        ValueError: if a shape does not fit `scores`.

    Source: Lafferty, McCallum, Pereira 2001; the rescaling is Rabiner 1989, section V.A.

    Example:
        >>> import numpy as np
        >>> log_z = log_partition(np.zeros((1, 3, 2)), np.zeros((2, 2)))  # 2³ paths of weight 1
        >>> print(f"{np.exp(float(log_z[0])):.2f}")
        8.00
    """
    return _log_partition(*standardize(scores, transitions, mask, start, end))


@differentiable
def _log_partition(scores, transitions, mask, start, end):
    return with_gradient(_value, _gradient)(scores, transitions, ops.cast(mask, scores.dtype), start, end)


def _value(scores, transitions, real, start, end):
    log_z, *kept = _sum(link(scores, transitions, real > 0, start, end))
    return log_z, tuple(kept)


def _gradient(weight, inputs, kept):
    scores, transitions, real, start, end = inputs
    chain = link(scores, transitions, real > 0, start, end)
    by_scores, by_transitions, *by_ends = _counts(weight, chain, *kept)
    return by_scores, by_transitions, ops.zeros_like(real), *by_ends


def marginals(
    scores: Tensor,
    transitions: Tensor,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """Probability of each tag at each step, given all scores (arguments as for `log_partition`).

    Returns:
        `(batch, time, tags)`; rows sum to 1 where the mask is True and are 0 at padding. All zero where no
        path is allowed.

    Example:
        >>> import numpy as np
        >>> forbid_staying = np.array([[-np.inf, 0], [0, -np.inf]])
        >>> p = marginals(np.log([[[3.0, 1], [1, 1]]]), forbid_staying)
        >>> print(np.round(np.array(p)[0], 2))
        [[0.75 0.25]
         [0.25 0.75]]
    """
    return _marginals(*standardize(scores, transitions, mask, start, end))


@differentiable
def _marginals(scores, transitions, mask, start, end):
    chain = link(scores, transitions, mask, start, end)
    _, *sums = _sum(chain)
    return _counts(ops.ones_like(chain.shift), chain, *sums)[0]


def entropy(
    scores: Tensor,
    transitions: Tensor,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """Entropy of the distribution over paths (arguments as for `log_partition`).

    With p(i|j) the probability of tag i before tag j, H_t(j) = Σ_i p(i|j) (H_{t-1}(i) − log p(i|j)): no large
    numbers cancel.

    Returns:
        `(batch,)`, in nats.

    Source: Hernando, Crespi, Cybenko 2005.

    Example:
        >>> import numpy as np
        >>> print(f"{float(entropy(np.zeros((1, 3, 2)), np.zeros((2, 2)))[0]) / np.log(2):.2f} bits")
        3.00 bits
    """
    return _entropy(*standardize(scores, transitions, mask, start, end))


@differentiable
def _entropy(scores, transitions, mask, start, end):
    chain = link(scores, transitions, mask, start, end)
    a = log_messages(chain)

    def spread(h, log_weights):  # (tags, 1 or tags, batch) entropies and log weights of what came before
        none = log_weights == -INFINITY
        # of at most 0: its exponential is finite
        log_p = ops.where(none, 0.0, log_weights - logsumexp(log_weights, axis=0))
        p = ops.where(none, 0.0, ops.exp(log_p))
        return ops.sum(ops.where(p == 0, 0.0, p * (h - log_p)), axis=0)

    def step(carry, inputs):
        h, _ = carry
        a_before, real, first = inputs
        onward = spread(h[:, None], a_before[:, None] + chain.transitions[:, :, None])
        carry = ops.where(real & ~first, onward, h), h
        return carry, carry

    h = ops.zeros_like(a[0])
    (h, _), _ = walk(step, (h, h), (before(a), chain.real, chain.first))
    return ops.where(ops.any(chain.real, axis=(0, 1)), spread(h, a[-1] + chain.end), 0.0)


def log_messages(chain):
    """Return the logarithms of the forward messages, (time, tags, batch)."""
    _, exact, a, _ = _sum(chain)
    return ops.cond(exact, lambda: log(a), lambda: a)


def _sum(chain):
    """Return log Z (batch,), whether `SCALED` was exact, and messages and scales.

    The messages and scales are those of the semiring that was used.
    """
    a, c = forward(SCALED, chain)
    exact = _nothing_lost(chain, a, c)

    def in_logarithms():
        a, c = forward(LOG, chain)
        return _log_total(LOG, chain, a, c), a, c

    log_z, a, c = ops.cond(exact, lambda: (_log_total(SCALED, chain, a, c), a, c), in_logarithms)
    return log_z, exact, a, c


def _log_total(ring, chain, a, c):
    log_z = ring.log(total(ring, chain, a))[0] + ops.sum(ring.log(c), axis=(0, 1)) + chain.shift
    return ops.where(ops.any(chain.real, axis=(0, 1)), log_z, 0.0)


def _nothing_lost(chain, a, c):
    """Return whether all messages in `SCALED` are far from underflow.

    Those that are zero by the chain's own constraints do not count. By induction over the steps: if so up to
    a step, then a tag is reachable there exactly if a message above zero leads to it. NaN loses nothing: it
    goes on in either semiring.
    """
    small = chain.real & (a * c < SMALLEST_EXACT)  # (time, tags, batch)

    def no_small_one_is_reachable():
        allowed = ops.cast(ops.transpose(chain.transitions) > -INFINITY, a.dtype)
        led_to = ops.matmul(allowed, ops.cast(before(a) > 0, a.dtype)) > 0
        reachable = ops.where(chain.first, chain.start > -INFINITY, led_to) & (chain.emissions > -INFINITY)
        return ~ops.any(small & reachable)

    ends = ~ops.any(total(SCALED, chain, a) < SMALLEST_EXACT)
    return ends & ops.cond(ops.any(small), no_small_one_is_reachable, lambda: ops.ones((), "bool"))


def _counts(weight, chain, exact, a, c):
    """Compute the gradients of Σ weight · log Z in scores, transitions, start and end.

    Their shapes are (batch, time, tags), (tags, tags), (tags,) and (tags,).
    """
    inputs = chain, a, c, weight
    posterior, pairs = ops.cond(exact, lambda: backward(SCALED, *inputs), lambda: backward(LOG, *inputs))
    at_ends = [ops.sum(ops.where(flag, posterior, 0.0), axis=(0, 2)) for flag in (chain.first, chain.last)]
    return ops.transpose(posterior, (2, 0, 1)), pairs, *at_ends

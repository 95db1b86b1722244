"""Sums over all tag paths of a chain, by one recursion.

    Z_{t+1} = (Z_t G) ⊗ H_{t+1},   G = exp(transitions),   H_t = exp(scores_t)

The recursion is written once, over a semiring. Sums run in `SCALED` (ordinary numbers, rescaled at each step: one matrix
product a step) and, where a path that may count would underflow there, in `LOG`; `paths.py` runs it in `MAX`. The gradient
of log Z is the forward–backward recursion rather than the derivative of the scan. Inside, the batch is the last axis: its
entries fill the lanes of the processor.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from partita.backend import compiled

Tensor = Any
INFINITY = float("inf")

# A sum of positive float32 numbers that reaches this has lost nothing that counts: what underflows is below 1.2e-38.
SMALLEST_EXACT = 1e-30


class Semiring(NamedTuple):
    """The arithmetic of a recursion: how weights multiply, and how a matrix gathers them."""

    zero: float
    one: float
    lift: Callable  # log weight → element
    lower: Callable  # element → weight
    log: Callable  # element → log weight
    times: Callable
    over: Callable
    dot: Callable  # (m, n), (n, batch) → (m, batch)
    pairs: Callable  # (m, batch), (m, n), (n, batch), (1, batch) → (m, n): weights of the pairs, added up over the batch


def _identity(x):
    return x


def _logsumexp_dot(matrix, vector):
    return ops.logsumexp(matrix[:, :, None] + vector[None], axis=1)


def _max_dot(matrix, vector):
    return ops.max(matrix[:, :, None] + vector[None], axis=1)


def _scaled_pairs(left, matrix, right, weight):
    return matrix * ops.matmul(left, ops.transpose(right * weight))


def _log_pairs(left, matrix, right, weight):
    return ops.sum(ops.exp(left[:, None] + matrix[:, :, None] + right[None]) * weight, axis=2)


SCALED = Semiring(0.0, 1.0, ops.exp, _identity, ops.log, ops.multiply, ops.divide, ops.matmul, _scaled_pairs)
LOG = Semiring(-INFINITY, 0.0, _identity, ops.exp, _identity, ops.add, ops.subtract, _logsumexp_dot, _log_pairs)
MAX = LOG._replace(dot=_max_dot)


class Chain(NamedTuple):
    """A batch of chains laid out for the recursion: log weights, each group shifted so that its largest is 0."""

    emissions: Tensor  # (time, tags, batch)
    transitions: Tensor  # (tags, tags), from row to column
    start: Tensor  # (tags, 1)
    end: Tensor  # (tags, 1)
    real: Tensor  # (time, 1, batch), False = padding
    first: Tensor  # (time, 1, batch), True at each sequence's first real step
    last: Tensor  # (time, 1, batch)
    shift: Tensor  # (batch,) what the shifts took from the score of every path


def log_partition(
    scores: Tensor, transitions: Tensor, mask: Tensor | None = None, start: Tensor | None = None, end: Tensor | None = None
) -> Tensor:
    """Logarithm of the sum of exp(score) over all tag paths.

    Its gradient in `scores` is the tag marginals, in `transitions` the expected number of each transition. An entry of −inf
    forbids: a tag at a step, a transition, a start or an end. Exact at any scale of scores; half precision is computed in float32.

    Args:
        scores: `(batch, time, tags)`, log weights of each tag at each step.
        transitions: `(tags, tags)`, log weights of going from the row's tag to the column's.
        mask: `(batch, time)` booleans, True = real. Padding may stand anywhere: the chain links what is real.
        start: `(tags,)`, log weights of the first real step's tag; zero if None.
        end: `(tags,)`, log weights of the last real step's tag; zero if None.

    Returns:
        `(batch,)`, in nats: 0 where a sequence is all padding, −inf where no path is allowed.

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


@compiled
def _log_partition(scores, transitions, mask, start, end):
    @ops.custom_gradient
    def sum_paths(scores, transitions, real, start, end):
        chain = link(scores, transitions, real > 0, start, end)
        log_z, *sums = _sum(chain)

        def gradient(*args, upstream=None):
            by_scores, by_transitions, *by_ends = _posterior(args[0] if upstream is None else upstream, chain, *sums)
            return by_scores, by_transitions, ops.zeros_like(real), *by_ends

        return log_z, gradient

    return sum_paths(scores, transitions, ops.cast(mask, scores.dtype), start, end)


def marginals(
    scores: Tensor, transitions: Tensor, mask: Tensor | None = None, start: Tensor | None = None, end: Tensor | None = None
) -> Tensor:
    """Probability of each tag at each step, given all scores (arguments as for `log_partition`).

    Returns:
        `(batch, time, tags)`; rows sum to 1 where the mask is True and are 0 at padding.

    Example:
        >>> import numpy as np
        >>> forbid_staying = np.array([[-np.inf, 0], [0, -np.inf]])
        >>> p = marginals(np.log([[[3.0, 1], [1, 1]]]), forbid_staying)
        >>> print(np.round(np.array(p)[0], 2))
        [[0.75 0.25]
         [0.25 0.75]]
    """
    return _marginals(*standardize(scores, transitions, mask, start, end))


@compiled
def _marginals(scores, transitions, mask, start, end):
    chain = link(scores, transitions, mask, start, end)
    _, *sums = _sum(chain)
    return _posterior(ops.ones_like(chain.shift), chain, *sums)[0]


def entropy(
    scores: Tensor, transitions: Tensor, mask: Tensor | None = None, start: Tensor | None = None, end: Tensor | None = None
) -> Tensor:
    """Entropy of the distribution over paths (arguments as for `log_partition`).

    With p(i|j) the probability of tag i before tag j, H_t(j) = Σ_i p(i|j) (H_{t-1}(i) − log p(i|j)): no large numbers cancel.

    Returns:
        `(batch,)`, in nats.

    Source: Hernando, Crespi, Cybenko 2005.

    Example:
        >>> import numpy as np
        >>> print(f"{float(entropy(np.zeros((1, 3, 2)), np.zeros((2, 2)))[0]) / np.log(2):.2f} bits")
        3.00 bits
    """
    return _entropy(*standardize(scores, transitions, mask, start, end))


@compiled
def _entropy(scores, transitions, mask, start, end):
    chain = link(scores, transitions, mask, start, end)
    a = log_messages(chain)

    def spread(h, log_weights):  # (tags, 1 or tags, batch) entropies and log weights of what came before
        log_p = log_weights - ops.logsumexp(log_weights, axis=0, keepdims=True)
        log_p = ops.where(log_weights > -INFINITY, log_p, -INFINITY)
        p = ops.exp(log_p)
        return ops.sum(p * (h - ops.where(p > 0, log_p, 0.0)), axis=0)

    def step(carry, inputs):
        h, _ = carry
        a_before, real, first = inputs
        onward = spread(h[:, None], a_before[:, None] + chain.transitions[:, :, None])
        carry = ops.where(real & ~first, onward, h), h
        return carry, carry

    h = ops.zeros_like(a[0])
    (h, _), _ = walk(step, (h, h), (before(a), chain.real, chain.first))
    return ops.where(ops.any(chain.real, axis=(0, 1)), spread(h, a[-1] + chain.end), 0.0)


def standardize(
    scores: Tensor, transitions: Tensor, mask: Tensor | None, start: Tensor | None, end: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Check the shapes, fill in what is None, and cast to float32 (float64 stays): the same five, as tensors."""
    scores = ops.convert_to_tensor(scores)
    if len(scores.shape) != 3 or 0 in scores.shape[1:]:
        raise ValueError(f"scores must have the shape (batch, time, tags) with at least one step, got {tuple(scores.shape)}.")
    num_tags = scores.shape[2]
    dtype = "float64" if keras.backend.standardize_dtype(scores.dtype) == "float64" else "float32"

    def weights(name, values, shape):
        values = ops.zeros(shape, dtype) if values is None else ops.cast(ops.convert_to_tensor(values), dtype)
        if tuple(values.shape) != shape:
            raise ValueError(f"{name} must have the shape {shape} for scores of {num_tags} tags, got {tuple(values.shape)}.")
        return values

    mask = ops.ones(ops.shape(scores)[:2], "bool") if mask is None else ops.cast(ops.convert_to_tensor(mask), "bool")
    if len(mask.shape) != 2 or any(m != s for m, s in zip(mask.shape, scores.shape, strict=False) if None not in (m, s)):
        raise ValueError(f"mask must have the shape (batch, time) = {tuple(scores.shape[:2])} of the scores, got {tuple(mask.shape)}.")
    transitions = weights("transitions", transitions, (num_tags, num_tags))
    return ops.cast(scores, dtype), transitions, mask, weights("start", start, (num_tags,)), weights("end", end, (num_tags,))


def link(scores: Tensor, transitions: Tensor, mask: Tensor, start: Tensor, end: Tensor) -> Chain:
    """Lay out what `standardize` returns for the recursion."""
    count = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # (batch, time) real steps so far
    length = count[:, -1:]  # (batch, 1)
    flags = mask, mask & (count == 1), mask & (count == length)
    real, first, last = (ops.transpose(flag)[:, None] for flag in flags)  # (time, 1, batch)
    emissions = ops.where(real, ops.transpose(scores, (1, 2, 0)), 0.0)  # (time, tags, batch)
    emissions, top = _shift_to_zero(emissions, axis=1)
    transitions, top_transition = _shift_to_zero(transitions, axis=(0, 1))
    start, top_start = _shift_to_zero(start[:, None], axis=0)
    end, top_end = _shift_to_zero(end[:, None], axis=0)
    moves = ops.cast(length[:, 0] - 1, scores.dtype)
    shift = ops.sum(top, axis=(0, 1)) + moves * top_transition[0, 0] + top_start[0, 0] + top_end[0, 0]
    return Chain(emissions, transitions, start, end, real, first, last, shift)


def _shift_to_zero(x, axis):
    top = ops.max(x, axis=axis, keepdims=True)
    top = ops.where(top > -INFINITY, top, 0.0)
    return x - top, top


def forward(ring: Semiring, chain: Chain) -> tuple[Tensor, Tensor]:
    """Messages a (time, tags, batch), the largest of each step one, and scales c (time, 1, batch): a_t Π c sums the paths up to t."""
    into = ring.lift(ops.transpose(chain.transitions))
    start = ring.lift(chain.start)

    def step(carry, inputs):
        a, _ = carry
        emission, real, first = inputs
        u = ring.times(ops.where(first, start, ring.dot(into, a)), emission)
        c = ops.max(u, axis=0, keepdims=True)
        c = ops.where(c > ring.zero, c, ring.one)
        carry = ops.where(real, ring.over(u, c), a), ops.where(real, c, ring.one)
        return carry, carry

    emissions = ring.lift(chain.emissions)
    init = ops.full_like(emissions[0], ring.one), ops.full_like(emissions[0, :1], ring.one)
    _, messages = walk(step, init, (emissions, chain.real, chain.first))
    return messages


def backward(ring: Semiring, chain: Chain, a: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior of tags (time, tags, batch) and of transitions (tags, tags) summed over time and batch, each sequence times `weight`.

    The messages b from the right are scaled so that a_t b_t is the posterior. Where a_t is zero there is none, whatever b_t:
    it is dropped, and nothing can overflow.
    """
    onward = ring.lift(chain.transitions)
    z = _total(ring, chain, a)
    end = ring.over(ring.lift(chain.end), ops.where(z > ring.zero, z, ring.one))  # (tags, batch)

    def step(carry, inputs):
        b, _, pairs = carry
        a, a_before, c, emission, real, first, last = inputs
        b = ops.where(a > ring.zero, ops.where(last, end, b), ring.zero)
        posterior = ring.lower(ring.times(a, b)) * weight
        b_here = ring.over(ring.times(emission, b), c)
        pairs = pairs + ring.pairs(a_before, onward, ops.where(real & ~first, b_here, ring.zero), weight)
        carry = ops.where(real, ring.dot(onward, b_here), b), ops.where(real, posterior, 0.0), pairs
        return carry, carry

    init = ops.full_like(a[0], ring.zero), ops.zeros_like(a[0]), ops.zeros_like(onward)
    inputs = a, before(a), c, ring.lift(chain.emissions), chain.real, chain.first, chain.last
    (_, _, pairs), (_, posterior, _) = walk(step, init, inputs, reverse=True)
    return posterior, pairs


def walk(step: Callable, init: Any, inputs: tuple[Tensor, ...], reverse: bool = False) -> tuple[Any, Any]:
    """`ops.scan` over the first axis of all `inputs`: by number, since on TensorFlow several inputs would need a known length."""
    numbers = ops.arange(ops.shape(inputs[0])[0], dtype="int32")
    return ops.scan(lambda carry, t: step(carry, tuple(x[t] for x in inputs)), init, numbers, reverse=reverse)


def before(a: Tensor) -> Tensor:
    """The messages one step earlier; the first step has none, and what stands there does not count."""
    return ops.concatenate([a[:1], a[:-1]])


def log_messages(chain: Chain) -> Tensor:
    """Logarithms of the forward messages, (time, tags, batch)."""
    _, exact, a, _ = _sum(chain)
    return ops.cond(exact, lambda: ops.log(a), lambda: a)


def _sum(chain):
    """log Z (batch,), whether `SCALED` was exact, and the messages and scales of the semiring that was used."""
    a, c = forward(SCALED, chain)
    exact = _nothing_lost(chain, a, c)

    def in_logarithms():
        a, c = forward(LOG, chain)
        return _log_total(LOG, chain, a, c), a, c

    log_z, a, c = ops.cond(exact, lambda: (_log_total(SCALED, chain, a, c), a, c), in_logarithms)
    return log_z, exact, a, c


def _total(ring, chain, a):
    return ring.dot(ring.lift(ops.transpose(chain.end)), a[-1])  # (1, batch)


def _log_total(ring, chain, a, c):
    log_z = ring.log(_total(ring, chain, a))[0] + ops.sum(ring.log(c), axis=(0, 1)) + chain.shift
    return ops.where(ops.any(chain.real, axis=(0, 1)), log_z, 0.0)


def _nothing_lost(chain, a, c):
    """Whether every message in `SCALED` that is not zero by the chain's own constraints is far from underflow.

    By induction over the steps: if so up to a step, then a tag is reachable there exactly if a message above zero leads to it.
    """
    small = chain.real & ~(a * c >= SMALLEST_EXACT)  # (time, tags, batch)

    def no_small_one_is_reachable():
        allowed = ops.cast(ops.transpose(chain.transitions) > -INFINITY, a.dtype)
        led_to = ops.matmul(allowed, ops.cast(before(a) > 0, a.dtype)) > 0
        reachable = ops.where(chain.first, chain.start > -INFINITY, led_to) & (chain.emissions > -INFINITY)
        return ~ops.any(small & reachable)

    ends = ops.all(_total(SCALED, chain, a) >= SMALLEST_EXACT)
    return ends & ops.cond(ops.any(small), no_small_one_is_reachable, lambda: ops.ones((), "bool"))


def _posterior(weight, chain, exact, a, c):
    """Gradients of Σ weight · log Z in scores (batch, time, tags), transitions (tags, tags), start and end (tags,)."""
    posterior, pairs = ops.cond(
        exact, lambda: backward(SCALED, chain, a, c, weight[None]), lambda: backward(LOG, chain, a, c, weight[None])
    )
    at_start, at_end = (ops.sum(ops.where(flag, posterior, 0.0), axis=(0, 2)) for flag in (chain.first, chain.last))
    return ops.transpose(posterior, (2, 0, 1)), pairs, at_start, at_end

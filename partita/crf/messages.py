"""Messages along a batch of chains: the recursion itself, over a semiring.

    Z_{t+1} = (Z_t G) ⊗ H_{t+1},   G = exp(transitions),   H_t = exp(scores_t)

The recursion is written once. Sums run in `SCALED` (ordinary numbers, rescaled at each step: one matrix
product a step) or in `LOG`, best paths in `MAX`. Inside, the batch is the last axis: its entries fill the
lanes of the processor.

All of it can be differentiated any number of times: scales and shifts cancel in every result, so they count
as constants, and where a weight is zero no infinity meets a zero. A NaN in a real step reaches every sum of
its sequence, and no other's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from partita.types import Tensor

INFINITY = float("inf")
NAN = float("nan")


class Semiring(NamedTuple):
    """Arithmetic of a recursion: how weights multiply, and how a matrix gathers them."""

    zero: float
    one: float
    lift: Callable  # log weight → element
    lower: Callable  # element → weight
    log: Callable  # element → log weight
    times: Callable
    over: Callable
    dot: Callable  # (m, n), (n, batch) → (m, batch)
    # (time, m, batch), (m, n), (time, n, batch), (1, batch) → (m, n): weights of the pairs, summed
    pairs: Callable


def log(x: Tensor) -> Tensor:
    """Return the logarithm of weights, −inf for 0, with derivatives that are finite there."""
    return ops.where(x == 0, -INFINITY, ops.log(ops.where(x == 0, 1.0, x)))


def logsumexp(x: Tensor, axis: int) -> Tensor:
    """Return log Σ exp(x) along an axis; −inf where all are, with derivatives that are finite there."""
    shifted, top = shift_to_zero(x, axis)
    return log(ops.sum(ops.exp(shifted), axis=axis)) + ops.squeeze(top, axis)


def shift_to_zero(x: Tensor, axis: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return `x` shifted so that its largest along an axis is 0, and the shift, a constant of derivatives.

    Nothing is shifted where the largest is not finite.
    """
    top = ops.stop_gradient(ops.max(x, axis=axis, keepdims=True))
    top = ops.where(ops.abs(top) < INFINITY, top, 0.0)
    return x - top, top


def _identity(x):
    return x


def _dot(matrix, vector):
    return ops.einsum("mn,nb->mb", matrix, vector)  # Keras's matmul drops the digits of float64 on PyTorch


def _logsumexp_dot(matrix, vector):
    return logsumexp(matrix[:, :, None] + vector[None], axis=1)


def _max_dot(matrix, vector):
    return ops.max(matrix[:, :, None] + vector[None], axis=1)


def _scaled_pairs(left, matrix, right, weight):
    return matrix * ops.einsum("tib,tjb->ij", left, right * weight)


def _log_pairs(left, matrix, right, weight):
    def add(step, pairs):
        return pairs + ops.exp(left[step][:, None] + matrix[:, :, None] + right[step][None])

    zeros = ops.zeros_like(matrix[:, :, None] + right[0][None])  # (m, n, batch)
    return ops.sum(ops.fori_loop(0, ops.shape(left)[0], add, zeros) * weight, axis=2)


SCALED = Semiring(0.0, 1.0, ops.exp, _identity, log, ops.multiply, ops.divide, _dot, _scaled_pairs)
LOG = Semiring(
    -INFINITY, 0.0, _identity, ops.exp, _identity, ops.add, ops.subtract, _logsumexp_dot, _log_pairs
)
MAX = LOG._replace(dot=_max_dot)


class Chain(NamedTuple):
    """Batch of chains laid out for the recursion.

    The weights are logarithms, each group shifted so that its largest is 0.
    """

    emissions: Tensor  # (time, tags, batch)
    transitions: Tensor  # (tags, tags), from row to column
    start: Tensor  # (tags, 1)
    end: Tensor  # (tags, 1)
    real: Tensor  # (time, 1, batch), False = padding
    first: Tensor  # (time, 1, batch), True at each sequence's first real step
    last: Tensor  # (time, 1, batch)
    shift: Tensor  # (batch,) what the shifts took from the score of every path


def standardize(
    scores: Tensor, transitions: Tensor, mask: Tensor | None, start: Tensor | None, end: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Check the shapes, fill in what is None, and cast to float32.

    Float64 stays. The same five are returned, as tensors.
    """
    scores = ops.convert_to_tensor(scores)
    shape = tuple(scores.shape)
    if len(shape) != 3 or 0 in shape[1:]:
        raise ValueError(
            f"scores must have the shape (batch, time, tags) with at least one step, got {shape}."
        )
    num_tags = shape[2]
    dtype = "float64" if keras.backend.standardize_dtype(scores.dtype) == "float64" else "float32"

    def weights(name, given, wanted):
        values = ops.zeros(wanted, dtype) if given is None else ops.cast(ops.convert_to_tensor(given), dtype)
        if (got := tuple(values.shape)) != wanted:
            raise ValueError(f"{name} must have the shape {wanted} for scores of {num_tags} tags, got {got}.")
        return values

    mask = ops.ones(ops.shape(scores)[:2]) if mask is None else ops.convert_to_tensor(mask)
    mask = ops.cast(mask, "bool")
    got = tuple(mask.shape)
    if len(got) != 2 or any(m != s for m, s in zip(got, shape, strict=False) if None not in (m, s)):
        raise ValueError(f"mask must have the shape (batch, time) = {shape[:2]} of the scores, got {got}.")
    transitions = weights("transitions", transitions, (num_tags, num_tags))
    start, end = weights("start", start, (num_tags,)), weights("end", end, (num_tags,))
    return ops.cast(scores, dtype), transitions, mask, start, end


def link(scores: Tensor, transitions: Tensor, mask: Tensor, start: Tensor, end: Tensor) -> Chain:
    """Lay out what `standardize` returns for the recursion."""
    count = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # (batch, time) real steps so far
    length = count[:, -1:]  # (batch, 1)
    flags = mask, mask & (count == 1), mask & (count == length)
    real, first, last = (ops.transpose(flag)[:, None] for flag in flags)  # (time, 1, batch)
    emissions = ops.where(real, ops.transpose(scores, (1, 2, 0)), 0.0)  # (time, tags, batch)
    emissions, top = shift_to_zero(emissions, axis=1)
    transitions, top_transition = shift_to_zero(transitions, axis=(0, 1))
    start, top_start = shift_to_zero(start[:, None], axis=0)
    end, top_end = shift_to_zero(end[:, None], axis=0)
    moves = ops.cast(length[:, 0] - 1, scores.dtype)
    shift = ops.sum(top, axis=(0, 1)) + moves * top_transition[0, 0] + top_start[0, 0] + top_end[0, 0]
    return Chain(emissions, transitions, start, end, real, first, last, shift)


def forward(ring: Semiring, chain: Chain) -> tuple[Tensor, Tensor]:
    """Return messages a (time, tags, batch), the largest of each step one, and scales c (time, 1, batch).

    a_t Π c sums the paths up to step t.
    """
    into = ring.lift(ops.transpose(chain.transitions))
    start = ring.lift(chain.start)

    def step(carry, inputs):
        a, _ = carry
        emission, real, first = inputs
        u = ring.times(ops.where(first, start, ring.dot(into, a)), emission)
        c = ops.stop_gradient(ops.max(u, axis=0, keepdims=True))
        c = ops.where(c > ring.zero, c, ring.one)
        carry = ops.where(real, ring.over(u, c), a), ops.where(real, c, ring.one)
        return carry, carry

    emissions = ring.lift(chain.emissions)
    init = ops.full_like(emissions[0], ring.one), ops.full_like(emissions[0, :1], ring.one)
    _, messages = walk(step, init, (emissions, chain.real, chain.first))
    return messages


def total(ring: Semiring, chain: Chain, a: Tensor) -> Tensor:
    """Return the sum over all paths (1, batch), before the scales."""
    return ring.dot(ring.lift(ops.transpose(chain.end)), a[-1])


def backward(ring: Semiring, chain: Chain, a: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the posteriors of tags (time, tags, batch) and of transitions (tags, tags).

    Each sequence counts `weight` (batch,) times. Transitions are summed over time and batch. The messages b
    from the right are scaled so that a_t b_t is the posterior. Where a_t is zero there is none, whatever b_t:
    it is dropped, and nothing can overflow.
    """
    onward = ring.lift(chain.transitions)
    emissions = ring.lift(chain.emissions)
    z = total(ring, chain, a)
    weight = ops.where(z == z, weight[None], NAN)  # (1, batch)
    end = ring.over(ring.lift(chain.end), ops.where(z == ring.zero, ring.one, z))  # (tags, batch)

    def step(carry, inputs):
        b, _ = carry
        a, c, emission, real, last = inputs
        b = ops.where(a == ring.zero, ring.zero, ops.where(last, end, b))
        carry = ops.where(real, ring.dot(onward, ring.over(ring.times(emission, b), c)), b), b
        return carry, carry

    init = ops.full_like(a[0], ring.zero), ops.full_like(a[0], ring.zero)
    _, (_, b) = walk(step, init, (a, c, emissions, chain.real, chain.last), reverse=True)
    posterior = ops.where(chain.real, ring.lower(ring.times(a, b)) * weight, 0.0)
    inward = ops.where(chain.real & ~chain.first, ring.over(ring.times(emissions, b), c), ring.zero)
    return posterior, ring.pairs(before(a), onward, inward, weight)


def walk(step: Callable, init: Any, inputs: tuple[Tensor, ...], reverse: bool = False) -> tuple[Any, Any]:
    """Run `ops.scan` over the first axis of all `inputs`.

    It scans by number, since on TensorFlow several inputs would need a known length.
    """
    numbers = ops.arange(ops.shape(inputs[0])[0], dtype="int32")
    return ops.scan(lambda carry, t: step(carry, tuple(x[t] for x in inputs)), init, numbers, reverse=reverse)


def before(a: Tensor) -> Tensor:
    """The messages one step earlier; the first step has none, and what stands there does not count."""
    return ops.concatenate([a[:1], a[:-1]])

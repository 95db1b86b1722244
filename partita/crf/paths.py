"""Single tag paths of a chain: their score, the best ones, random ones.

    score(y) = start[y_1] + Σ_t scores[t, y_t] + Σ_t transitions[y_t, y_{t+1}] + end[y_T]

Paths are int32 with −1 at padding. The best path is the recursion of `recursion.py` in the max-plus semiring;
the choice at each step is found again on the way back, so that nothing but the messages is kept. Where the
scores of a sequence hold NaN no path is best and none can be drawn: its tags are `UNDEFINED`.
"""

import keras
from keras import ops

from partita.backend import compiled
from partita.backend.derivatives import differentiable
from partita.crf.messages import INFINITY, MAX, NAN, forward, link, standardize, walk
from partita.crf.recursion import log_messages, log_partition
from partita.types import Tensor

UNDEFINED = -2  # the tag of a step that has none because a score of its sequence is NaN or +inf


def path_score(
    scores: Tensor,
    tags: Tensor,
    transitions: Tensor,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """Compute the score of one path a sequence.

    Over a path with unknown tags, it is the log of the summed exp(score) of the paths that agree.

    Args:
        scores, transitions, mask, start, end: as for `log_partition`.
        tags: `(batch, time)` integers; −1 = unknown. At padding any value.

    Returns:
        `(batch,)`, in nats; NaN where a real step has a score of NaN, on the path or beside it.

    Raises:
        ValueError: if a shape does not fit `scores`.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[[1.0, 2], [3, 4]]])
        >>> print(f"{float(path_score(scores, np.array([[0, 1]]), np.zeros((2, 2)))[0]):.1f}")
        5.0
    """
    scores, transitions, mask, start, end = standardize(scores, transitions, mask, start, end)
    tags = ops.cast(ops.convert_to_tensor(tags), "int32")
    if len(tags.shape) != 2:
        raise ValueError(
            f"tags must be integers of the shape (batch, time) = {tuple(scores.shape[:2])}, got "
            f"{tuple(tags.shape)}."
        )
    return _path_score(scores, tags, transitions, mask, start, end)


@differentiable
def _path_score(scores, tags, transitions, mask, start, end):
    unknown = mask & (tags < 0)

    def of_one_path():
        return _known_path_score(scores, ops.where(mask & ~unknown, tags, 0), transitions, mask, start, end)

    def of_all_that_agree():
        agrees = unknown[..., None] | (tags[..., None] == ops.arange(scores.shape[2], dtype="int32"))
        agreeing = ops.where(agrees | ops.isnan(scores), scores, -INFINITY)
        return log_partition(agreeing, transitions, mask, start, end)

    return ops.cond(ops.any(unknown), of_all_that_agree, of_one_path)


def _known_path_score(scores, tags, transitions, mask, start, end):
    num_tags = scores.shape[2]
    count = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # (batch, time) real steps so far
    gaps = mask[:, 1:] & ~mask[:, :-1] & (count[:, 1:] > 1)
    earlier = ops.concatenate([tags[:, :1], tags[:, :-1]], axis=1)
    tags_before = ops.cond(ops.any(gaps), lambda: _tags_of_last_real_steps(tags, mask), lambda: earlier)

    chosen = tags[..., None] == ops.arange(num_tags, dtype="int32")
    from_steps = ops.sum(ops.where(chosen | ops.isnan(scores), scores, 0.0), axis=2)
    from_moves = ops.take(ops.reshape(transitions, (-1,)), tags_before * num_tags + tags)
    on_path = (
        (mask, from_steps),
        (mask & (count > 1), from_moves),
        (mask & (count == 1), ops.take(start, tags)),
        (mask & (count == count[:, -1:]), ops.take(end, tags)),
    )
    return sum(ops.sum(ops.where(where, score, 0.0), axis=1) for where, score in on_path)


def _tags_of_last_real_steps(tags, mask):
    def step(tag, inputs):
        tag_here, real = inputs
        return ops.where(real, tag_here, tag), tag

    _, earlier = walk(step, tags[:, 0], (ops.transpose(tags), ops.transpose(mask)))
    return ops.transpose(earlier)


def viterbi(
    scores: Tensor,
    transitions: Tensor,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
    k: int = 1,
) -> tuple[Tensor, Tensor]:
    """The path of largest score, or the `k` best in falling order (other arguments as for `log_partition`).

    Returns:
        Tags `(batch, time)` int32, −1 at padding, and their scores `(batch,)`. With k > 1: `(batch, k, time)`
        and `(batch, k)`; where a sequence has fewer than k paths the rest have score −inf and tags −1. A
        sequence with NaN or +inf among its scores or in the transitions, start or end has score NaN, and tags
        −2 at its real steps.

    Raises:
        ValueError: if `k` is less than 1, or a shape does not fit `scores`.

    Source: Viterbi 1967; the k best as in Seshadri, Sundberg 1994 (parallel list decoding).

    Example:
        >>> import numpy as np
        >>> forbid_staying = np.array([[-np.inf, 0], [0, -np.inf]])
        >>> tags, score = viterbi(np.array([[[3.0, 0], [3, 2], [3, 0]]]), forbid_staying)
        >>> np.array(tags).tolist(), float(score[0])
        ([[0, 1, 0]], 8.0)
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    return _viterbi(*standardize(scores, transitions, mask, start, end), k=int(k))


@differentiable
def _viterbi(*inputs, k):
    fixed = [*map(ops.stop_gradient, inputs)]
    tags = _best(link(*fixed))[:, None] if k == 1 else _k_best(link(*fixed), k)  # (batch, k, time)
    score = ops.stack([_score_of(tags[:, rank], *inputs) for rank in range(k)], axis=1)
    undefined, mask = _undefined(*fixed), inputs[2]
    tags = ops.where((undefined[:, None] & mask)[:, None], UNDEFINED, tags)
    score = ops.where(undefined[:, None], NAN, score)
    return (tags[:, 0], score[:, 0]) if k == 1 else (tags, score)


def _score_of(tags, scores, transitions, mask, start, end):
    """Score of decoded paths: −inf where there is none (padding's −1 at a real step)."""
    score = _known_path_score(scores, ops.maximum(tags, 0), transitions, mask, start, end)
    return ops.where(ops.any(mask & (tags < 0), axis=1), -INFINITY, score)


def _undefined(scores, transitions, mask, start, end):
    """Return whether NaN or +inf stands in what a sequence needs, (batch,).

    It needs the scores of its real steps, and the weights that a sequence of its length needs.
    """

    def bad(x, axis=None):
        return ops.any(ops.isnan(x) | (x == INFINITY), axis=axis)

    length = ops.sum(ops.cast(mask, "int32"), axis=1)
    in_steps = ops.any(mask & bad(scores, axis=2), axis=1)
    return in_steps | ((length > 0) & (bad(start) | bad(end))) | ((length > 1) & bad(transitions))


def _best(chain):
    a, _ = forward(MAX, chain)
    numbers = ops.arange(chain.transitions.shape[0], dtype="int32")[:, None]

    def step(tag, inputs):  # (batch,) the tag one real step later
        a, real, last = inputs
        score = a + ops.where(last, chain.end, ops.take(chain.transitions, tag, axis=1))  # (tags, batch)
        # The first of the largest, by two plain reductions: several times as fast as XLA's argmax.
        best = ops.min(ops.where(score < ops.max(score, axis=0, keepdims=True), numbers[-1], numbers), axis=0)
        tag = ops.where(real[0], best, tag)
        return tag, tag

    init = ops.zeros_like(chain.real[0, 0], "int32")
    _, tags = walk(step, init, (a, chain.real, chain.last), reverse=True)
    return ops.transpose(ops.where(chain.real[:, 0], tags, -1))


def _k_best(chain, k):
    """Tags (batch, k, time). A slot (tag, rank) is the path of that rank among those that end in that tag."""
    num_tags = chain.transitions.shape[0]
    none = ops.full_like(chain.emissions[0][None], -INFINITY)
    # (rank, tags, batch)
    start = ops.concatenate([(chain.start + ops.zeros_like(none[0]))[None]] + [none] * (k - 1))

    def step(carry, inputs):
        best, _ = carry  # (rank, tags, batch)
        emission, real, first = inputs
        candidates = best[:, :, None] + chain.transitions[None, :, :, None]  # (rank, from, to, batch)
        # (to, batch, rank · from)
        candidates = ops.moveaxis(ops.reshape(candidates, (k * num_tags, num_tags, -1)), 0, -1)
        value, origin = ops.top_k(candidates, k)
        value = ops.where(first, start, ops.moveaxis(value, -1, 0)) + emission
        top = ops.max(value, axis=(0, 1), keepdims=True)
        value = value - ops.where(top > -INFINITY, top, 0.0)
        carry = ops.where(real, value, best), ops.cast(ops.moveaxis(origin, -1, 0), "int32")
        return carry, carry

    init = start, ops.zeros_like(start, "int32")
    (best, _), (_, origins) = walk(step, init, (chain.emissions, chain.real, chain.first))
    final = ops.reshape(best + chain.end, (k * num_tags, -1))
    value, slot = ops.top_k(ops.transpose(final), k)  # (batch, k)
    slot = ops.cast(slot, "int32")

    def back(slot, inputs):
        origin, real = inputs  # (rank, tags, batch)
        before = ops.take_along_axis(ops.reshape(origin, (k * num_tags, -1)), ops.transpose(slot), axis=0)
        return ops.where(real[0][:, None], ops.transpose(before), slot), slot

    _, slots = walk(back, slot, (origins, chain.real), reverse=True)  # (time, batch, k)
    exists = chain.real[:, 0, :, None] & (value > -INFINITY)
    return ops.transpose(ops.where(exists, slots % num_tags, -1), (1, 2, 0))


def sample(
    scores: Tensor,
    transitions: Tensor,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
    n: int = 1,
    seed: int | None = None,
) -> Tensor:
    """Draw independent paths from p(path) = exp(score) / Z by forward filtering, backward sampling.

    The sums are forward, then tags are drawn from the last to the first.

    Args:
        scores, transitions, mask, start, end: as for `log_partition`.
        n: Draws a sequence.
        seed: Integer; the same seed gives the same paths on a backend. None draws afresh.

    Returns:
        `(n, batch, time)` int32, −1 at padding, −2 at the real steps of a sequence whose scores hold NaN or
        +inf.

    Raises:
        ValueError: if `n` is less than 1, or a shape does not fit `scores`.

    Example:
        >>> import numpy as np
        >>> sure = np.array([[[0.0, -np.inf], [-np.inf, 0.0]]])
        >>> np.array(sample(sure, np.zeros((2, 2)), n=2, seed=0)).tolist()
        [[[0, 1]], [[0, 1]]]
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    scores, *rest = standardize(scores, transitions, mask, start, end)
    batch, num_steps, _ = ops.shape(scores)
    # Below 1 by more than rounding: the threshold never reaches the total, so no tag of probability 0 is
    # drawn.
    uniform = keras.random.uniform((num_steps, n, batch), 0.0, 1.0 - 2.0**-20, dtype=scores.dtype, seed=seed)
    return _sample(uniform, scores, *rest)


@compiled
def _sample(uniform, *inputs):
    chain = link(*inputs)
    a = log_messages(chain)  # (time, tags, batch)

    def step(tag, inputs):  # (n, batch) the tag one real step later
        a, u, real, last = inputs
        # (tags, n, batch)
        onward = ops.where(last[:, None], chain.end[:, None], ops.take(chain.transitions, tag, axis=1))
        log_p = a[:, None] + onward
        below = ops.cumsum(ops.exp(log_p - ops.max(log_p, axis=0, keepdims=True)), axis=0)
        drawn = ops.sum(ops.cast(below <= u * below[-1], "int32"), axis=0)
        tag = ops.where(real, drawn, tag)
        return tag, tag

    init = ops.zeros_like(uniform[0], "int32")
    _, tags = walk(step, init, (a, uniform, chain.real, chain.last), reverse=True)
    tags = ops.where(_undefined(*inputs), UNDEFINED, tags)  # (time, n, batch)
    return ops.transpose(ops.where(chain.real, tags, -1), (1, 2, 0))

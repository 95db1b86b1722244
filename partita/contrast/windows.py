"""One pass over a stretch of text: the inner loop of skip-gram with negative sampling.

    u_c += r Σ_t (y_t − σ(⟨u_c, v_t⟩)) v_t,   v_t += r Σ_c (y_t − σ(⟨u_c, v_t⟩)) u_c,
    y = 1 for the word in the middle, 0 for negatives

All words c on one side of a window meet the same targets t: the word in the middle and one set of negatives.
So the sums are products of small matrices, and a window touches few rows of the tables (Ji et al. 2016). One
set for both sides would be faster, but worse vectors.
"""

import numpy as np

from partita.contrast.corpus import END, LONGEST
from partita.kernels import njit

TILE = 3  # targets handled in one loop: the targets are filled up to a multiple of it with zeros
REACH, STEPS = 8.0, 4096  # a table of the logistic function from −8 to 8
LARGEST = np.float32(1e4)  # score: odds that no text can ask for, long before float32 overflows
SIGMOID = (1 / (1 + np.exp(REACH - (np.arange(STEPS) + 0.5) * 2 * REACH / STEPS))).astype(np.float32)

# Sums may be taken in any order, which vectorises them; but NaN and infinity are what they are, for they are
# looked for.
_inner = njit(nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp", "afn"})
# Parts that are taken into `train` before it is compiled: Numba would count their arrays at each call.
_part = njit(inline="always")


@_inner
def train(ids, first, last, keep, thresholds, others, vectors, contexts, window, negatives, rate, state):  # noqa: PLR0913 - Numba counts the arrays of a tuple at each use
    """Train on the sentences that begin in `ids[first:last]`.

    Args:
        ids: The stream; sentences end with `END`.
        first, last: Where to begin and to stop.
        keep: Probability that a word is not left out, `(size,)`.
        thresholds, others: Alias table of the negatives.
        vectors, contexts: Rows of words in and out, `(size, dim)` float32; changed.
        window: Words on either side, at most.
        negatives: How many for each side of a window.
        rate: Learning rate.
        state: Of the random numbers, `(1,)` uint64, not 0; changed.

    Returns:
        Whether the vectors have diverged: a score is NaN or larger than `LARGEST`, and no more is done.
    """
    dim = vectors.shape[1]
    num_rows = -(-(negatives + 1) // TILE) * TILE
    rows = np.zeros((num_rows, dim), np.float32)  # the contexts of the targets as they are, and zeros
    changes = np.zeros((num_rows, dim), np.float32)
    targets = np.zeros(negatives + 1, np.int32)
    scores, errors = np.zeros(num_rows, np.float32), np.zeros(num_rows, np.float32)
    sentence = np.zeros(LONGEST, np.int32)
    place = _next_sentence(ids, first, last)
    while place < last:
        length, place = _read_sentence(ids, place, keep, sentence, state)
        for middle in range(length):
            # near words are in more windows
            reach = 1 + np.int64((_next(state) >> np.uint64(33)) % np.uint64(window))
            low = middle - reach if middle > reach else 0
            high = middle + reach + 1 if middle + reach < length else length
            for begin, end in ((low, middle), (middle + 1, high)):
                if begin == end:
                    continue
                targets[0] = sentence[middle]
                _draw_negatives(targets, thresholds, others, state)
                _load(contexts, targets, rows, changes)
                for c in range(begin, end):
                    vector = vectors[sentence[c]]
                    for t in range(0, num_rows, TILE):
                        _score(vector, rows, scores, t)
                    if not _rate_errors(scores, errors, targets.size, rate):
                        return True
                    for t in range(0, num_rows, TILE):
                        _change_contexts(vector, changes, errors, t)
                    for t in range(0, num_rows, TILE):
                        _change_vector(vector, rows, errors, t)
                _store(contexts, targets, changes)
    return False


@_part
def _next_sentence(ids, place, last):
    """Return where the first sentence begins: one belongs to the stretch it begins in."""
    while place > 0 and place < last and ids[place - 1] != END:
        place += 1
    return place


@_part
def _read_sentence(ids, place, keep, sentence, state):
    """Copy the sentence at a place without words left out; return its length, and where the next begins."""
    length = 0
    while place < ids.size and ids[place] != END:
        if _unit(_next(state)) < keep[ids[place]]:
            sentence[length] = ids[place]
            length += 1
        place += 1
    return length, place + 1


@_part
def _draw_negatives(targets, thresholds, others, state):
    """Draw all targets but the first, others than it."""
    size = np.uint64(thresholds.size)
    for t in range(1, targets.size):
        targets[t] = targets[0]
        while targets[t] == targets[0] and size > 1:
            bits = _next(state)
            drawn = np.int64(((bits >> np.uint64(32)) * size) >> np.uint64(32))
            targets[t] = drawn if _unit(bits << np.uint64(32)) < thresholds[drawn] else others[drawn]


@_part
def _load(contexts, targets, rows, changes):
    for t in range(targets.size):
        context, row, change = contexts[targets[t]], rows[t], changes[t]
        for d in range(context.size):
            row[d] = context[d]
            change[d] = np.float32(0)


@_part
def _store(contexts, targets, changes):
    for t in range(targets.size):
        context, change = contexts[targets[t]], changes[t]
        for d in range(context.size):
            context[d] += change[d]


@_part
def _rate_errors(scores, errors, num_targets, rate):
    """Set the errors of the scores, times the rate; return whether the scores are below `LARGEST`."""
    for t in range(num_targets):
        if not abs(scores[t]) < LARGEST:
            return False
        place = (scores[t] + np.float32(REACH)) * np.float32(STEPS / (2 * REACH))
        step = np.int64(min(max(place, np.float32(0)), np.float32(STEPS - 1)))
        errors[t] = rate * (np.float32(t == 0) - SIGMOID[step])
    return True


@_part
def _next(state):
    """64 random bits: xorshift64* (Vigna 2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return x * np.uint64(0x2545F4914F6CDD1D)


@_part
def _unit(bits):
    return np.float32(np.int64(bits >> np.uint64(40))) * np.float32(2.0**-24)


# Each of these loops over few arrays at a time: with more, the compiler could not tell that they do not
# overlap, and would go number by number.


@_inner
def _score(vector, rows, scores, t):
    one, two, three = rows[t], rows[t + 1], rows[t + 2]
    first = second = third = np.float32(0)
    for d in range(vector.size):
        value = vector[d]
        first += value * one[d]
        second += value * two[d]
        third += value * three[d]
    scores[t], scores[t + 1], scores[t + 2] = first, second, third


@_inner
def _change_vector(vector, rows, errors, t):
    one, two, three = rows[t], rows[t + 1], rows[t + 2]
    first, second, third = errors[t], errors[t + 1], errors[t + 2]
    for d in range(vector.size):
        vector[d] += first * one[d] + second * two[d] + third * three[d]


@_inner
def _change_contexts(vector, changes, errors, t):
    one, two, three = changes[t], changes[t + 1], changes[t + 2]
    first, second, third = errors[t], errors[t + 1], errors[t + 2]
    for d in range(vector.size):
        one[d] += first * vector[d]
        two[d] += second * vector[d]
        three[d] += third * vector[d]

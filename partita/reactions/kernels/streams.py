"""Random numbers: a stream of xoshiro256++ for each trajectory, and two numbers from it for each event.

    u = (r >> 12) / 2⁵²   in [0, 1)        E = −log ((r >> 12) + ½) / 2⁵²   in (0, 37)

The words of trajectory i are those of NumPy's `SeedSequence(seed, spawn_key=(i,))`. The logarithm is a
polynomial without branches, and each fused product is written out: kernels that run many trajectories side by
side compute, bit for bit, what the plain ones do.
"""

import numpy as np
from llvmlite import ir
from numba import TypingError, njit, types
from numba.extending import intrinsic

_ONE = 0x3FF0000000000000  # the bits of 1.0
_ROOT = 0x3FE6A09E667F3BCD  # the bits of √½
_LN2 = 0.6931471805599453

# NumPy's SeedSequence, whose numbers are fixed for good (NEP 19, O'Neill's seed_seq_fe).
_HASH_START, _HASH_STEP = 0x43B0D7E5, 0x931E8875
_STATE_START, _STATE_STEP = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = 0xCA01F9DD, 0x4973F715


def stream_states(seed: int, first: int, last: int) -> np.ndarray:
    """The words that the streams of trajectories `first` to `last − 1` start from, uint64, `(trajectory, 4)`.

    Equal to `SeedSequence(seed, spawn_key=(i,)).generate_state(4, np.uint64)` for each i, all at once.

    Raises:
        ValueError: if the seed is negative, or a number is above 2³² − 1.

    Example:
        >>> stream_states(0, 7, 8)[0] == np.random.SeedSequence(0, spawn_key=(7,)).generate_state(
        ...     4, np.uint64
        ... )
        array([ True, True, True, True])
    """
    if not 0 <= first <= last <= 2**32:
        raise ValueError(f"trajectories are numbered from 0 to 2³² − 1, got {first} to {last - 1}")
    root = np.random.SeedSequence(seed)
    words = max(4, -(-seed.bit_length() // 32))
    constant = _HASH_START * pow(_HASH_STEP, 16 + 4 * (words - 4), 2**32) % 2**32  # the root has used so many
    child = np.arange(first, last, dtype=np.uint64).astype(np.uint32)
    pool: list[np.ndarray] = []
    for word in np.asarray(root.pool, np.uint32):
        constant, mixed = _hash(child, constant, _HASH_STEP)
        both: np.ndarray = np.uint32(_MIX_LEFT) * np.full_like(child, word) - np.uint32(_MIX_RIGHT) * mixed
        pool.append(both ^ (both >> np.uint32(16)))
    constant = _STATE_START
    halves = np.empty((last - first, 8), np.uint32)
    for column in range(8):
        constant, halves[:, column] = _hash(pool[column % 4], constant, _STATE_STEP)
    # (trajectory, 4)
    return halves[:, 0::2].astype(np.uint64) | (halves[:, 1::2].astype(np.uint64) << np.uint64(32))


def _hash(value: np.ndarray, constant: int, step: int) -> tuple[int, np.ndarray]:
    following = constant * step % 2**32
    value = (value ^ np.uint32(constant)) * np.uint32(following)
    return following, value ^ (value >> np.uint32(16))


@intrinsic
def fused(context, x, y, z):
    """X·y + z, rounded once."""

    def build(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), build


@intrinsic
def bits_of(context, x):
    """The bits of a float64, as int64."""
    if x != types.float64:
        raise TypingError("bits_of takes a float64")
    return types.int64(types.float64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.IntType(64)
    )


@intrinsic
def float_of(context, bits):
    """The float64 of these 64 bits."""
    return types.float64(bits), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.DoubleType()
    )


@intrinsic
def fetch_add(context, array, amount):
    """Add to the first element of an int64 array and return what stood there.

    Of several threads each gets a value of its own.
    """

    def build(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, arguments[1], "monotonic")

    return types.int64(array, types.int64), build


@njit(inline="always")
def advance(s0, s1, s2, s3):
    """One step of xoshiro256++ (Blackman, Vigna 2021): the number, and the four words after it."""
    r = s0 + s3
    r = ((r << np.uint64(23)) | (r >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    return r, s0, s1, s2, (s3 << np.uint64(45)) | (s3 >> np.uint64(19))


@njit(inline="always")
def uniform(r):
    """A number in [0, 1), on a grid of 2⁻⁵²."""
    return float_of((r >> np.uint64(12)) | np.uint64(_ONE)) - 1.0


@njit(inline="always")
def exponential(r):
    """Return −log of a number in (0, 1), the waiting time for a rate of 1.

    The error is at most a few units in the last place. log m = 2 artanh s, s = (m − 1)/(m + 1), for the
    mantissa m in [√½, √2): a minimax polynomial in s².
    """
    bits = bits_of(np.float64(np.int64(r >> np.uint64(12))) + 0.5) + (_ONE - _ROOT)
    mantissa = float_of((bits & 0xFFFFFFFFFFFFF) + _ROOT)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    w = s * s
    tail = fused(w, 0.1479819860511658591, 0.1531383769920937332)
    tail = fused(w, tail, 0.1818357216161805012)
    tail = fused(w, tail, 0.2222219843214978396)
    tail = fused(w, tail, 0.2857142874366239149)
    tail = fused(w, tail, 0.3999999999940941908)
    tail = fused(w, tail, 0.6666666666666735130)
    return fused(np.float64(1075 - (bits >> 52)), _LN2, -fused(s * w, tail, 2.0 * s))

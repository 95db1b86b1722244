import numpy as np
import pytest
from numba import njit

from partita.reactions.kernels.streams import advance, exponential, stream_states


@pytest.mark.parametrize("seed", [0, 5, 2**63 - 1, 2**70 + 3, 2**140 + 9])
def test_streams_start_from_numpys_seed_sequence(seed):
    wanted = [np.random.SeedSequence(seed, spawn_key=(i,)).generate_state(4, np.uint64) for i in range(3, 9)]
    np.testing.assert_array_equal(stream_states(seed, 3, 9), wanted)


@njit(error_model="numpy")
def both(words, waits, numbers):
    s0, s1, s2, s3 = words[0], words[1], words[2], words[3]
    for i in range(waits.size):
        r, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
        numbers[i] = r
        waits[i] = exponential(r)


def test_waiting_times_are_logarithms_and_the_generator_is_xoshiro():
    waits, numbers = np.empty(100_000), np.empty(100_000, np.uint64)
    both(np.array([1, 2, 3, 4], np.uint64), waits, numbers)
    # The first numbers from the state 1, 2, 3, 4, as the authors' C code gives them.
    assert numbers[:4].tolist() == [41943041, 58720359, 3588806011781223, 3591011842654386]
    exact = -np.log(((numbers >> np.uint64(12)).astype(np.longdouble) + 0.5) / np.longdouble(2) ** 52)
    np.testing.assert_allclose(waits, exact.astype(float), rtol=1e-15)


def test_a_trajectory_beyond_the_numbers_is_refused():
    with pytest.raises(ValueError, match="numbered from 0"):
        stream_states(0, 2**32, 2**32 + 1)

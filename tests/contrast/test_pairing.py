"""Data and noise side by side: what does not fit together is named."""

import numpy as np
import pytest

from partita.contrast import Normal
from partita.contrast.pairing import Pairing, as_arrays, from_arrays, from_dataset, log_noise

X = np.random.default_rng(0).normal(size=(10, 2))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([X, X, X], "a pair of contexts and points, got 3"),
        ([X, X[:5]], "as many contexts as points, got 10 and 5"),
        (np.zeros((0, 2)), "x holds no points"),
        (3.0, r"x must hold points, \(n, ...\), got the number 3"),
    ],
)
def test_what_are_no_points(x, message):
    with pytest.raises(ValueError, match=message):
        as_arrays(x)


class Odd:
    """Noise that gives too few of everything."""

    def sample(self, n, seed=None):
        return np.zeros((n - 1, 2))

    def log_prob(self, x):
        return np.zeros(len(x) - 1)


def test_noise_that_does_not_do_what_it_should():
    with pytest.raises(
        ValueError, match=r"noise.log_prob must give \(10,\) for 10 points, got the shape \(9,\)"
    ):
        log_noise(Odd(), X)
    pairing = Pairing(*from_arrays(X, None, 5, False, 0), Odd(), 3, 0)
    with pytest.raises(ValueError, match=r"noise.sample\(\d+\) must give \d+ points"):
        pairing[0]


def test_weights_of_another_length():
    with pytest.raises(ValueError, match=r"sample_weight must be \(10,\), got the shape \(3,\)"):
        from_arrays(X, np.ones(3), 5, False, 0)


def test_a_list_of_batches_is_a_dataset_and_a_generator_is_none():
    pairing = Pairing(
        *from_dataset([(X[:5], None, np.ones(5)), (X[5:], None, np.ones(5))]), Normal.fit(X), 3, 0
    )
    (x, noise, weight) = pairing[1]
    np.testing.assert_allclose(x, X[5:], rtol=1e-6)
    assert noise["noise"].shape == (5, 3, 2)
    assert weight.tolist() == [1.0] * 5
    again = pairing[0]  # begins anew
    np.testing.assert_allclose(again[0], X[:5], rtol=1e-6)
    with pytest.raises(ValueError, match="a dataset that knows how many batches it has, got generator"):
        from_dataset(batch for batch in [X])

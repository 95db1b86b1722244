import numpy as np
import pytest

from partita import variational


def test_perfect_samples_reach_every_mode():
    """3σ of a disc hold 1 − e^{−4.5} of a Gaussian: 0.9889, within five standard errors of 2,500 draws."""
    for toy in (variational.ring(), variational.grid()):
        modes, share = toy.coverage(toy.sample(2500, seed=0))
        assert modes == len(toy.centers)
        assert share == pytest.approx(0.9889, abs=0.0105)


def test_the_toys_are_those_of_the_protocol():
    ring, grid = variational.ring(), variational.grid()
    np.testing.assert_allclose(np.linalg.norm(ring.centers, axis=1), 2.0)
    assert (len(ring.centers), ring.sd, grid.sd) == (8, 0.02, 0.05)
    assert sorted({float(value) for value in grid.centers[:, 0]}) == [-4, -2, 0, 2, 4]
    np.testing.assert_array_equal(grid.sample(5, seed=3), grid.sample(5, seed=3))


def test_a_mode_counts_only_if_a_good_sample_is_there():
    centers = [[0.0, 0.0], [10.0, 0.0]]
    assert variational.mode_coverage([[0.0, 0.29], [9.0, 0.0]], centers, 0.1) == (1, 0.5)
    assert variational.mode_coverage([[0.0, 0.31], [9.0, 0.0]], centers, 0.1) == (0, 0.0)
    assert variational.mode_coverage([[0.0, 0.31], [10.0, 0.0]], centers, 0.1, within=4) == (2, 1.0)


def test_mmd_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 2)), rng.normal(size=(5, 2)) + 1

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / (2 * 0.8**2))

    xx, yy = kernel(x, x), kernel(y, y)
    wanted = (xx.sum() - 7) / 42 + (yy.sum() - 5) / 20 - 2 * kernel(x, y).mean()
    assert variational.mmd(x, y, bandwidth=0.8) == pytest.approx(wanted)


def test_mmd_tells_laws_apart():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(1500, 3)), rng.normal(size=(1200, 3))
    assert abs(variational.mmd(x, y)) < 2e-3
    assert variational.mmd(x, 1.3 * y) > 4e-3
    assert variational.mmd(np.ones((5, 1)), np.ones((4, 1))) == pytest.approx(0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: variational.mode_coverage(np.zeros((3, 2)), np.zeros((3, 1)), 1.0),
            r"got the shapes \(3, 2\) and \(3, 1\)",
        ),
        (lambda: variational.mode_coverage(np.zeros((0, 2)), np.zeros((3, 2)), 1.0), "samples"),
        (
            lambda: variational.mode_coverage(np.zeros((3, 2)), np.zeros((3, 2)), 0.0),
            "sd and within must be above 0",
        ),
        (lambda: variational.mmd(np.zeros((1, 2)), np.zeros((3, 2))), "two rows"),
        (lambda: variational.mmd(np.zeros((2, 2)), np.full((3, 2), np.nan)), "must be finite"),
        (lambda: variational.mmd(np.zeros((2, 2)), np.zeros((3, 2)), -1.0), "bandwidth must be above 0"),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

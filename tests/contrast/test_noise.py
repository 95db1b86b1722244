import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from partita.contrast import LogUniform, Normal, Uniform, Unigram
from partita.contrast.alias import alias_table


@pytest.mark.parametrize(
    ("noise", "low", "high"),
    [
        pytest.param(Uniform([-1, 2], [3, 2.5]), [-2, 1], [4, 4], id="uniform"),
        pytest.param(Normal([0.5, -1], [[1, 0.6], [0.6, 0.5]]), [-8, -8], [9, 6], id="normal"),
    ],
)
def test_a_density_sums_to_1_and_is_that_of_the_points_drawn(noise, low, high):
    axes = [np.linspace(a, b, 1201) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(noise.log_prob(grid)) * np.prod([axis[1] - axis[0] for axis in axes])
    assert mass.sum() == pytest.approx(1, abs=0.01)
    points = noise.sample(20_000, seed=1)
    assert points.shape == (20_000, 2)
    assert points.dtype == np.float32
    mean = mass @ grid
    spread = np.sqrt(mass @ (grid - mean) ** 2)
    # off by more than four standard errors: 1 in 8000 for each of four numbers
    assert np.abs(points.mean(axis=0) - mean).max() < 4 * spread.max() / np.sqrt(20_000) + 0.005


def test_normal_agrees_with_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3)) + 1
    noise = Normal.fit(x)
    np.testing.assert_allclose(
        noise.log_prob(x), stats.multivariate_normal(x.mean(axis=0), np.cov(x.T)).logpdf(x), rtol=1e-9
    )


def test_all_points_of_a_box_are_in_its_support():
    noise = Uniform([0.1, -1 / 3], [0.7, 1 / 3])
    assert np.isfinite(noise.log_prob(noise.sample(100_000, seed=0))).all()


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60))
def test_an_alias_table_holds_its_distribution(weights):
    p = np.array(weights) / np.sum(weights)
    thresholds, others = alias_table(p)
    held = thresholds.astype(float)
    np.add.at(held, others, 1.0 - thresholds)
    np.testing.assert_allclose(held / len(p), p, atol=1e-6)


@pytest.mark.parametrize("noise", [Unigram([5, 0, 1, 100, 7]), Unigram([3, 1], power=1), LogUniform(7)])
def test_words_are_drawn_as_often_as_said(noise):
    size = len(noise.probabilities)
    p = np.exp(noise.log_prob(np.arange(size)))
    assert p.sum() == pytest.approx(1)
    seen = np.bincount(noise.sample(50_000, seed=3), minlength=size)
    assert (seen[p == 0] == 0).all()
    assert stats.chisquare(seen[p > 0], 50_000 * p[p > 0]).pvalue > 1e-4  # false alarms: 1 in 10,000
    assert noise.log_prob(np.array([[-1, size]])).tolist() == [[-np.inf, -np.inf]]


def test_a_power_flattens():
    assert np.exp(Unigram([16, 1]).log_prob(np.array([0]))) == pytest.approx(8 / 9)
    assert np.exp(Unigram([16, 1], power=0).log_prob(np.array([0]))) == pytest.approx(1 / 2)


@pytest.mark.parametrize("noise", [Uniform(0, 1), Normal([0], [[1]]), Unigram([1, 2]), LogUniform(9)])
def test_the_same_seed_gives_the_same_points(noise):
    assert np.array_equal(noise.sample(9, seed=5), noise.sample(9, seed=5))
    assert not np.array_equal(noise.sample(9, seed=5), noise.sample(9, seed=6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform([0, 1], [1, 1]), "low must lie below high"),
        (lambda: Uniform(0, np.inf), "low must lie below high"),
        (lambda: Normal([0, 0], [[1]]), "must fit"),
        (lambda: Normal.fit(np.ones((5, 2))), "no spread"),
        (lambda: Normal.fit(np.ones(5)), "two or more finite points"),
        (lambda: Unigram([0, 0]), "counts must be"),
        (lambda: Unigram([1, -1]), "counts must be"),
        (lambda: LogUniform(0), "at least 1"),
        (lambda: Uniform(0, 1).log_prob(np.zeros((3, 2))), r"points \(n, 1\)"),
        (lambda: Unigram([1]).log_prob(np.zeros(2)), "integers"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("noise", "x"),
    [
        (Uniform([0, 0], [1, 2]), np.array([[0.5, 0.5], [2, 2]])),
        (Normal([0.5, -1], [[1, 0.6], [0.6, 0.5]]), np.array([[0.5, 0.5], [2, 2]])),
        (Unigram([3, 1, 2], power=0.75), np.array([0, 2])),
        (LogUniform(5), np.array([0, 4])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_noise_is_saved(noise, x):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(noise)))
    again = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(again.log_prob(x), noise.log_prob(x))
    np.testing.assert_array_equal(again.sample(9, seed=1), noise.sample(9, seed=1))

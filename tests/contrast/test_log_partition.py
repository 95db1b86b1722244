"""log Z against quadrature, for noise of all kinds; what is said of fits that have not converged."""

import importlib.util
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy import optimize, stats

from partita.contrast import ConvergenceWarning, EnergyModel, Estimate, Normal, Uniform, gamma

spec = importlib.util.spec_from_file_location("densities", Path(__file__).with_name("densities.py"))
densities = importlib.util.module_from_spec(spec)
spec.loader.exec_module(densities)

GRID = np.linspace(-8, 8, 200_001)


class Frozen:
    """A law of SciPy's as noise."""

    def __init__(self, law):
        self.law = law

    def sample(self, n, seed=None):
        return self.law.rvs(size=(n, 1), random_state=seed)

    def log_prob(self, x):
        return self.law.logpdf(np.asarray(x, float)[:, 0])


NOISE = {
    "normal": Normal([0], [[0.5]]),
    "uniform": Uniform(-6, 6),
    "student": Frozen(stats.t(3)),
    "cauchy": Frozen(stats.cauchy()),
    "narrow": Frozen(stats.norm(0, 0.35)),  # exp(G) / U has no variance
    "far": Frozen(stats.norm(1, 1)),
}


def points(a, b, n, seed):
    weight = np.exp(-a * GRID**2 - b * GRID**4)
    x = np.interp(np.random.default_rng(seed).random(n), np.cumsum(weight) / weight.sum(), GRID)[:, None]
    return x, float(np.log(weight.sum() * (GRID[1] - GRID[0])))


def energy(a, b):
    layer = densities.Quartic()
    layer.a.assign(a)
    layer.b.assign(b)
    return layer


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.25), (0.05, 0.15)])
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
def test_log_z_is_that_of_quadrature_whatever_the_noise(noise, a, b):
    """From weights for which Z is infinite. Outside of four standard errors: 1 in 16,000 for each number."""
    x, truth = points(a, b, 4000, seed=3)
    found = EnergyModel(energy(0.0, 0.0), noise, num_noise=5).estimate(x, refine=True)
    assert found.converged
    assert 0 < found.log_partition_error < 0.5
    for value, error, right in (
        (found.log_partition, found.log_partition_error, truth),
        (found.parameters["a"], found.errors["a"], a),
        (found.parameters["b"], found.errors["b"], b),
    ):
        assert abs(float(value) - right) < 4 * float(error)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [("nce", "normal"), ("nce", "student"), ("nce", "narrow"), ("article", "uniform"), ("ranking", "narrow")],
)
def test_for_the_true_energy_gamma_is_log_z_before_any_step(loss, kind):
    x, truth = points(0.5, 0.25, 8000, seed=0)
    model = EnergyModel(energy(0.5, 0.25), NOISE[kind], loss=loss)
    model.compile(keras.optimizers.SGD(1e-12))
    model.fit(x, batch_size=8000, verbose=0)
    assert model.log_partition == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (-1.0, 0.0), (0.0, -0.01)])
def test_gamma_starts_where_data_and_noise_balance_though_z_is_infinite(a, b):
    """The root of the equation, found here by SciPy on the same points."""
    x, _ = points(0.5, 0.25, 3000, seed=0)
    model = EnergyModel(energy(a, b), NOISE["student"], num_noise=7, learning_rate_factor=3.0)
    model._balance(x, None, seed=5)
    noise = NOISE["student"].sample(gamma.POINTS, 5)
    data, drawn = (
        -a * p[:, 0] ** 2 - b * p[:, 0] ** 4 - NOISE["student"].log_prob(p) - np.log(7) for p in (x, noise)
    )
    right = optimize.brentq(
        lambda g: (1 / (1 + np.exp(data - g))).mean() - 7 * (1 / (1 + np.exp(g - drawn))).mean(), -500, 500
    )
    assert model.log_partition == pytest.approx(right, abs=1e-3)


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9),
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9),
    st.floats(0.1, 100),
    st.booleans(),
)
def test_there_is_always_a_root(data, noise, weight, weighted):
    data, noise = np.array(data), np.array(noise)
    shares = np.arange(len(data), 0, -1.0) if weighted else np.ones(len(data))
    found = gamma.root(data, noise, weight, shares if weighted else None)

    def sides(g):  # in logarithms: either may be e^-10000
        left = np.logaddexp.reduce(np.log(shares / shares.sum()) + stats.logistic.logcdf(g - data))
        return left, np.logaddexp.reduce(stats.logistic.logcdf(noise - g)) - np.log(len(noise)) + np.log(
            weight
        )

    width = 1e-9 * (1 + abs(found))
    assert np.diff(sides(found - width))[0] >= -1e-9
    assert np.diff(sides(found + width))[0] <= 1e-9


@pytest.mark.parametrize(
    ("data", "noise", "message"),
    [
        ([np.nan, 0], [0], "logits of data that are finite, got nan for 1 of 2"),
        ([0], [np.inf, 1], "logits of noise that are finite, got inf for 1 of 2"),
        ([0], [-np.inf], "logits of noise that are finite, got −inf for all 1"),
    ],
)
def test_logits_without_a_root_are_named(data, noise, message):
    with pytest.raises(ValueError, match=message):
        gamma.root(np.array(data, float), np.array(noise, float), 1.0)


def test_a_weighted_point_counts_as_often():
    data, noise = np.array([0.3, -1, 2]), np.array([0.5, -2])
    assert gamma.root(data, noise, 2.0, np.array([1, 3, 0])) == pytest.approx(
        gamma.root(data[[0, 1, 1, 1]], noise, 2.0)
    )


def test_an_unconverged_fit_is_warned_of_and_a_refined_one_is_not():
    x, truth = points(0.5, 0.25, 3000, seed=0)
    model = EnergyModel(energy(0.0, 1.0), NOISE["normal"])
    model.compile(keras.optimizers.SGD(1e-6))
    model.fit(x, batch_size=1000, verbose=0)
    with pytest.warns(
        ConvergenceWarning, match="not converged: about .* standard errors from the optimum.* refine=True"
    ):
        found = model.estimate(x)
    assert not found.converged
    assert "converged=False" in repr(found)
    assert "not converged" in str(found)
    found = model.estimate(x, refine=True)
    assert found.converged
    assert "converged=True" in repr(found)
    assert "converged" not in str(found)
    assert abs(found.log_partition - truth) < 4 * found.log_partition_error


def test_the_distance_is_that_to_the_optimum():
    """The distance is √(4/3), a root mean square over three weights that are free.

    The weights are two standard errors off in one direction.
    """
    x, _ = points(0.5, 0.25, 3000, seed=0)
    model = EnergyModel(energy(0.4, 0.3), NOISE["normal"], num_noise=5)
    found = model.estimate(x, refine=True)
    assert found.distance < 0.05
    values, vectors = np.linalg.eigh(found.covariance)
    step = 2 * np.sqrt(values[0]) * vectors[:, 0]
    for weight, change in zip((model.energy.a, model.energy.b, model._gamma), step, strict=True):
        weight.assign(float(ops.convert_to_numpy(weight)) + change)
    assert model.estimate(x).distance == pytest.approx(np.sqrt(4 / 3), rel=0.2)


def test_data_that_can_be_told_from_all_noise_have_no_optimum():
    x = np.random.default_rng(0).normal(5, 0.1, (200, 1))
    model = EnergyModel(energy(0.0, 0.0), Frozen(stats.norm(0, 0.5)), num_noise=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            converged = model.estimate(x, refine=True).converged
        except ValueError as error:
            assert "standard error" in str(error)  # noqa: PT017
        else:
            assert not converged
            assert any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


class Twice(keras.layers.Layer):
    """G = −(a + b) x²: neither is determined."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (self.add_weight(name=name, shape=(), initializer="ones") for name in "ab")

    def call(self, x):
        return -(self.a + self.b) * x[:, 0] ** 2


def test_weights_that_do_the_same_are_named():
    with pytest.raises(ValueError, match="weights that change nothing, alone or together"):
        EnergyModel(Twice(), NOISE["normal"]).estimate(np.random.default_rng(0).normal(size=(100, 1)))


def test_an_estimate_of_ones_own():
    assert Estimate({}, {}, 0.0, 1.0, np.eye(1)).converged

"""Parameters found again: the article's two species, lynx and hare, and data whose truth is known."""

import re
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from partita import ode
from partita.ode.coordinates import Coordinates

SLOW = keras.backend.backend() != "jax"
SEVEN = np.array([0, 10, 15, 30, 36, 40, 42])
COUNTS = np.array([[100, 165, 197, 280, 305, 318, 324], [150, 283, 290, 276, 269, 266, 264]]).T
BEST = {"r1": 0.0993, "r2": 0.2987, "N1": 491.1, "N2": 335.4, "a1": 9.55e-5, "a2": 2.046e-4}
TIMES = np.linspace(0.0, 2.0, 9)


def competition(t, y, p):
    a, b = y[..., 0], y[..., 1]
    first = p["r1"] * a * (1 - a / p["N1"]) - p["a1"] * a * b
    return ops.stack([first, p["r2"] * b * (1 - b / p["N2"]) - p["a2"] * a * b], axis=-1)


def prey_and_predator(t, y, p):
    hare, lynx = y[..., 0], y[..., 1]
    return ops.stack([hare * (p["alpha"] - p["beta"] * lynx), lynx * (p["delta"] * hare - p["gamma"])], axis=-1)


def decay(t, y, p):
    return -p["k"] * y


def chain(t, y, p):
    return ops.stack([-p["k"] * y[..., 0], p["k"] * y[..., 0] - p["q"] * y[..., 1]], axis=-1)


def chained(k, q, start=5.0, times=TIMES):
    first = start * np.exp(-k * times)
    return np.stack([first, start * k / (q - k) * (np.exp(-k * times) - np.exp(-q * times))], axis=-1)


@pytest.mark.skipif(SLOW, reason="compiled for tens of seconds, or not at all: shorter fits run everywhere, the study on TensorFlow")
@pytest.mark.parametrize("seed", range(3))
def test_two_species_from_three_times_off(seed):
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(BEST))
    start = {name: value * 3**sign for (name, value), sign in zip(BEST.items(), signs, strict=True)}
    found = ode.fit(competition, start, SEVEN, COUNTS, seed=seed)
    assert found.rmse == pytest.approx(0.1944, abs=1e-3)
    assert np.abs(found.residuals).max() == pytest.approx(0.404, abs=2e-3)
    for name, value in BEST.items():
        assert found.parameters[name] == pytest.approx(value, rel=2e-3)
    assert found.history[-1] < found.history[0]


@pytest.mark.skipif(SLOW, reason="compiled for tens of seconds, or not at all: shorter fits run everywhere, the study on TensorFlow")
def test_lynx_and_hare(data_folder):
    """Within the 80 % intervals of the Stan case study; the scatter of both species is alike."""
    rows = np.loadtxt(data_folder / "lynx-hare" / "hudson-bay-lynx-hare.csv", delimiter=",", skiprows=3)
    start = {"alpha": 1.0, "beta": 0.05, "gamma": 1.0, "delta": 0.05}
    found = ode.fit(prey_and_predator, start, np.arange(21.0), rows[:, [2, 1]], noise="lognormal", fit_initial=True, seed=0)
    for name, low, high in (("alpha", 0.46, 0.63), ("beta", 0.022, 0.033), ("gamma", 0.68, 0.92), ("delta", 0.020, 0.029)):
        assert low < found.parameters[name] < high
    assert found.sigma == pytest.approx([0.24, 0.24], abs=0.02)


def test_each_kind_of_bound_has_its_coordinate():
    bounds = {"above": (0.5, None), "below": (None, 3.0), "between": (-1.0, 2.0)}
    values = {"above": 0.7, "below": [-4.0, 2.5], "between": 1.5, "free": [[2.0, -8.0]]}
    both = Coordinates.of(values, bounds)
    theta, step = both.free(values), 1e-3

    def flat(theta):
        return np.concatenate([np.ravel(value) for value in both.values(ops.convert_to_tensor(theta, "float32")).values()])

    np.testing.assert_allclose(flat(theta), [0.7, -4.0, 2.5, 1.5, 2.0, -8.0], rtol=1e-5)
    rises = [(flat(theta + step * unit) - flat(theta - step * unit)) @ np.ones(6) / (2 * step) for unit in np.eye(6)]
    np.testing.assert_allclose(np.abs(rises), both.slopes(values), rtol=1e-2)


def test_missing_values_and_a_state_never_seen():
    data = chained(1.5, 0.7)
    data[:, 0] = np.nan
    data[3, 1] = np.nan
    found = ode.fit(chain, {"k": 1.0, "q": 1.0}, TIMES, data, initial=[5.0, 0.0], bounds={"k": (1.0 - 0.5, 3.0)}, starts=1, steps=25)
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=1e-4)
    assert np.isnan(found.residuals[:, 0]).all()


def test_several_experiments_at_their_own_times():
    late = np.array([0.0, 0.3, 1.1])
    data = [chained(1.5, 0.7), chained(1.5, 0.7, 2.0, late)]
    found = ode.fit(chain, {"k": 1.0, "q": 1.0}, [TIMES, late], data, starts=1, steps=25)
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=1e-4)
    np.testing.assert_allclose(found.solution(late)[1], data[1], atol=1e-5)


@pytest.mark.skipif(SLOW, reason="compiled for tens of seconds, or not at all: shorter fits run everywhere, the study on TensorFlow")
def test_errors_are_those_of_repeated_experiments():
    """The scatter of 30 estimates agrees with the mean of their standard errors; a ratio outside is a matter of 4 σ."""
    rng, exact = np.random.default_rng(0), 5 * np.exp(-1.5 * TIMES)[:, None]
    found = [
        ode.fit(decay, {"k": 1.0}, TIMES, exact + 0.1 * rng.standard_normal((9, 1)), initial=[5.0], starts=1, steps=25) for _ in range(30)
    ]
    scatter, claimed = np.std([fit.parameters["k"] for fit in found], ddof=1), np.mean([fit.errors["k"] for fit in found])
    assert scatter / claimed == pytest.approx(1.0, abs=0.52)
    assert np.mean([fit.sigma[0] for fit in found]) == pytest.approx(0.1, abs=0.015)


def test_each_species_may_have_noise_of_its_own():
    """The first is measured 20 times as exactly as the second: both levels are found, within 4 σ of their 16 observations."""
    rng = np.random.default_rng(3)
    times = np.linspace(0.0, 2.0, 17)
    data = chained(1.5, 0.7, times=times) + rng.standard_normal((17, 2)) * [0.005, 0.1]
    found = ode.fit(chain, {"k": 1.0, "q": 1.0}, times, data, initial=[5.0, 0.0], sigma="species", starts=1, steps=25)
    assert found.sigma / [0.005, 0.1] == pytest.approx([1.0, 1.0], abs=0.7)
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=0.05)


def test_known_noise_scales_the_errors():
    data = chained(1.5, 0.7)
    small, large = (ode.fit(chain, {"k": 1.0, "q": 1.0}, TIMES, data, sigma=sigma, starts=1, steps=25) for sigma in (0.01, [0.1, 0.1]))
    assert large.errors["k"] == pytest.approx(10 * small.errors["k"], rel=1e-3)
    np.testing.assert_array_equal(small.sigma, [0.01, 0.01])


def test_clipped_descent_may_come_first():
    found = ode.fit(decay, {"k": 8.0}, TIMES, 5 * np.exp(-1.5 * TIMES)[:, None], starts=1, steps=25, warmup=5)
    assert found.parameters["k"] == pytest.approx(1.5, rel=1e-4)


def test_what_cannot_be_told_apart_is_reported():
    def field(t, y, p):
        return -(p["a"] + p["b"]) * y + 0 * p["c"]

    with pytest.warns(ode.IdentifiabilityWarning, match="do not determine a, b, c"):
        found = ode.fit(field, {"a": 1.0, "b": 1.0, "c": 1.0}, TIMES, 5 * np.exp(-3 * TIMES)[:, None], starts=1, steps=25)
    assert found.parameters["a"] + found.parameters["b"] == pytest.approx(3.0, rel=1e-4)
    assert found.unidentified == ("a", "b", "c")
    assert found.errors["a"] == np.inf
    assert "not determined by the observations: a, b, c" in repr(found)


def test_the_band_holds_the_solution_and_with_noise_the_observations():
    rng = np.random.default_rng(1)
    data = 5 * np.exp(-1.5 * TIMES)[:, None] * np.exp(0.1 * rng.standard_normal((9, 1)))
    found = ode.fit(decay, {"k": 1.0}, TIMES, data, noise="lognormal", fit_initial=True, starts=1, steps=25)
    low, high = found.band([0.5, 1.0])
    path = found.solution([0.5, 1.0])
    assert ((low < path) & (path < high)).all()
    wide_low, wide_high = found.band([0.5, 1.0], noise=True)
    assert ((wide_low < low) & (high < wide_high)).all()


def test_the_plot_shows_observations_and_solution():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    found = ode.fit(decay, {"k": 1.0}, TIMES, 5 * np.exp(-1.5 * TIMES)[:, None], starts=1, steps=25)
    assert next(line.get_label() for line in found.plot(["decaying"]).lines) == "decaying"
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"k": -1.0}}, "parameter 'k' must start within its bounds (0.0, None), got -1.0"),
        ({"bounds": {"q": (0, 1)}}, "bounds must name parameters (k), got 'q'"),
        ({"bounds": {"k": (2, 1)}}, "bounds of 'k' must rise"),
        ({"observed": np.ones((3, 1))}, "observed must be (time, state) or (experiments, time, state) with 9 times, got (3, 1)"),
        ({"observed": np.full((9, 1), np.nan)}, "initial must be given where the first row of observed has gaps"),
        ({"observed": np.full((9, 1), np.nan), "initial": [1.0]}, "observed must hold something beside the initial state"),
        ({"observed": -np.ones((9, 1)), "noise": "lognormal"}, "observed must be above 0 where noise is 'lognormal', got -1"),
        ({"noise": "poisson"}, "noise must be one of normal, lognormal, got 'poisson'"),
        ({"sigma": "each"}, "sigma must be None, 'species' or numbers, got 'each'"),
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"starts": 0}, "starts must be at least 1, got 0"),
        ({"times": -TIMES}, "times must rise, got falling ones"),
        ({"observed": np.geomspace(1, 1e300, 9)[:, None]}, "observed must hold numbers whose squares are finite"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    given = {"field": decay, "parameters": {"k": 1.0}, "times": TIMES, "observed": np.ones((9, 1))} | options
    with pytest.raises(ValueError, match=re.escape(message)):
        ode.fit(**given)


def test_a_start_from_which_nothing_can_be_solved():
    with pytest.raises(FloatingPointError, match="the solution is not finite from any start"), warnings.catch_warnings():
        ode.fit(lambda t, y, p: p["k"] * y**3, {"k": 50.0}, TIMES, np.ones((9, 1)), initial=[5.0], starts=2, spread=0.01)

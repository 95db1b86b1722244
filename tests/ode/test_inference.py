"""Parameters found again: the article's two species, lynx and hare, and data whose truth is known."""

import re
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

from partita import ode
from partita.ode.coordinates import Coordinates
from partita.ode.observations import observations

SLOW = keras.backend.backend() != "jax"
MANY_FITS = pytest.mark.skipif(
    SLOW, reason="many fits, of which the search is the same on every backend: some run everywhere"
)
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
    return ops.stack(
        [hare * (p["alpha"] - p["beta"] * lynx), lynx * (p["delta"] * hare - p["gamma"])], axis=-1
    )


def decay(t, y, p):
    return -p["k"] * y


def chain(t, y, p):
    return ops.stack([-p["k"] * y[..., 0], p["k"] * y[..., 0] - p["q"] * y[..., 1]], axis=-1)


def chained(k, q, start=5.0, times=TIMES):
    first = start * np.exp(-k * times)
    return np.stack([first, start * k / (q - k) * (np.exp(-k * times) - np.exp(-q * times))], axis=-1)


@pytest.mark.skipif(
    SLOW,
    reason="compiled for tens of seconds, or not at all: shorter fits run everywhere, the study on "
    "TensorFlow",
)
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


@pytest.mark.skipif(
    SLOW,
    reason="compiled for tens of seconds, or not at all: shorter fits run everywhere, the study on "
    "TensorFlow",
)
def test_lynx_and_hare(data_folder):
    """Within the 80 % intervals of the Stan case study; the scatter of both species is alike."""
    rows = np.loadtxt(data_folder / "lynx-hare" / "hudson-bay-lynx-hare.csv", delimiter=",", skiprows=3)
    start = {"alpha": 1.0, "beta": 0.05, "gamma": 1.0, "delta": 0.05}
    found = ode.fit(
        prey_and_predator,
        start,
        np.arange(21.0),
        rows[:, [2, 1]],
        noise="lognormal",
        fit_initial=True,
        seed=0,
    )
    for name, low, high in (
        ("alpha", 0.46, 0.63),
        ("beta", 0.022, 0.033),
        ("gamma", 0.68, 0.92),
        ("delta", 0.020, 0.029),
    ):
        assert low < found.parameters[name] < high
    assert found.sigma == pytest.approx([0.24, 0.24], abs=0.02)


def test_each_kind_of_bound_has_its_coordinate():
    bounds = {"above": (0.5, None), "below": (None, 3.0), "between": (-1.0, 2.0)}
    values = {"above": 0.7, "below": [-4.0, 2.5], "between": 1.5, "free": [[2.0, -8.0]]}
    both = Coordinates.of(values, bounds)
    theta, step = both.free(values), 1e-3

    def flat(theta):
        return np.concatenate(
            [np.ravel(value) for value in both.values(ops.convert_to_tensor(theta, "float32")).values()]
        )

    np.testing.assert_allclose(flat(theta), [0.7, -4.0, 2.5, 1.5, 2.0, -8.0], rtol=1e-5)
    rises = [
        (flat(theta + step * unit) - flat(theta - step * unit)) @ np.ones(6) / (2 * step)
        for unit in np.eye(6)
    ]
    np.testing.assert_allclose(np.abs(rises), both.slopes(values), rtol=1e-2)


def test_missing_values_and_a_state_never_seen():
    data = chained(1.5, 0.7)
    data[:, 0] = np.nan
    data[3, 1] = np.nan
    found = ode.fit(
        chain,
        {"k": 1.0, "q": 1.0},
        TIMES,
        data,
        initial=[5.0, 0.0],
        bounds={"k": (1.0 - 0.5, 3.0)},
        starts=1,
        steps=25,
    )
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=1e-4)
    assert np.isnan(found.residuals[:, 0]).all()


def test_several_experiments_at_their_own_times():
    late = np.array([0.0, 0.3, 1.1])
    data = [chained(1.5, 0.7), chained(1.5, 0.7, 2.0, late)]
    found = ode.fit(chain, {"k": 1.0, "q": 1.0}, [TIMES, late], data, starts=1, steps=25)
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=1e-4)
    np.testing.assert_allclose(found.solution(late)[1], data[1], atol=1e-5)


def test_times_may_be_a_column_of_a_table_that_was_filtered():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1.0, 2.0], index=[3, 7])
    assert observations(column, [np.ones((2, 1)), np.ones((2, 1))]).times.tolist() == [1.0, 2.0]


@pytest.mark.skipif(
    SLOW,
    reason="compiled for tens of seconds, or not at all: shorter fits run everywhere, the study on "
    "TensorFlow",
)
def test_errors_are_those_of_repeated_experiments():
    """The scatter of 30 estimates agrees with the mean of their standard errors.

    A ratio outside is a matter of 4 σ.
    """
    rng, exact = np.random.default_rng(0), 5 * np.exp(-1.5 * TIMES)[:, None]
    found = [
        ode.fit(
            decay,
            {"k": 1.0},
            TIMES,
            exact + 0.1 * rng.standard_normal((9, 1)),
            initial=[5.0],
            starts=1,
            steps=25,
        )
        for _ in range(30)
    ]
    scatter, claimed = (
        np.std([fit.parameters["k"] for fit in found], ddof=1),
        np.mean([fit.errors["k"] for fit in found]),
    )
    assert scatter / claimed == pytest.approx(1.0, abs=0.52)
    assert np.mean([fit.sigma[0] for fit in found]) == pytest.approx(0.1, abs=0.015)


def test_each_species_may_have_noise_of_its_own():
    """Both levels of noise are found, within 4 σ of their 16 observations.

    The first species is measured 20 times as exactly as the second.
    """
    rng = np.random.default_rng(3)
    times = np.linspace(0.0, 2.0, 17)
    data = chained(1.5, 0.7, times=times) + rng.standard_normal((17, 2)) * [0.005, 0.1]
    found = ode.fit(
        chain, {"k": 1.0, "q": 1.0}, times, data, initial=[5.0, 0.0], sigma="species", starts=1, steps=25
    )
    assert found.sigma / [0.005, 0.1] == pytest.approx([1.0, 1.0], abs=0.7)
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=0.05)


def test_known_noise_scales_the_errors():
    data = chained(1.5, 0.7)
    small, large = (
        ode.fit(chain, {"k": 1.0, "q": 1.0}, TIMES, data, sigma=sigma, starts=1, steps=25)
        for sigma in (0.01, [0.1, 0.1])
    )
    assert large.errors["k"] == pytest.approx(10 * small.errors["k"], rel=1e-3)
    np.testing.assert_array_equal(small.sigma, [0.01, 0.01])


def test_clipped_descent_may_come_first():
    found = ode.fit(decay, {"k": 8.0}, TIMES, 5 * np.exp(-1.5 * TIMES)[:, None], starts=1, steps=25, warmup=5)
    assert found.parameters["k"] == pytest.approx(1.5, rel=1e-4)


def test_what_cannot_be_told_apart_is_reported():
    def field(t, y, p):
        return -(p["a"] + p["b"]) * y + 0 * p["c"]

    with pytest.warns(ode.IdentifiabilityWarning, match="do not determine a, b, c"):
        found = ode.fit(
            field, {"a": 1.0, "b": 1.0, "c": 1.0}, TIMES, 5 * np.exp(-3 * TIMES)[:, None], starts=1, steps=25
        )
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


def relaxation(t, y, p):
    return p["a"] - p["k"] * y


def logistic(t, y, p):
    return p["r"] * y * (1 - y / p["K"])


def saturating(t, y, p):
    return -p["v"] * y / (p["m"] + y)


def epidemic(t, y, p):
    s, i = y[..., 0], y[..., 1]
    new = p["beta"] * s * i / 1000.0
    return ops.stack([-new, new - p["gamma"] * i], axis=-1)


RELAXED = 5 * np.exp(-3 * TIMES) + 1


@MANY_FITS
@pytest.mark.parametrize("a", [0.01, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("k", [0.001, 0.1, 5.0, 100.0])
def test_exact_data_are_explained_from_starts_decades_away(k, a):
    found = ode.fit(relaxation, {"k": k, "a": a}, TIMES, RELAXED[:, None], seed=0)
    assert found.parameters == pytest.approx({"k": 3.0, "a": 3.0}, rel=1e-5)
    assert found.initial == pytest.approx([6.0], rel=1e-5)
    assert found.converged
    assert found.unidentified == ()


def test_a_plateau_is_no_end_of_a_search():
    """With both parameters near 0 nothing changes, and the search goes on all the same.

    Their logarithms lead nowhere from there, and the parameters themselves do.
    """
    found = ode.fit(
        relaxation, {"k": 1e-12, "a": 1e-9}, TIMES, RELAXED[:, None], initial=[6.0], starts=1, steps=25
    )
    assert found.parameters == pytest.approx({"k": 3.0, "a": 3.0}, rel=1e-4)
    assert found.converged is True


@MANY_FITS
@pytest.mark.parametrize(("k", "a"), [(-0.5, 2.0), (0.1, -10.0), (-2.0, -2.0), (20.0, -300.0)])
def test_parameters_of_either_sign(k, a):
    found = ode.fit(relaxation, {"k": k, "a": a}, TIMES, RELAXED[:, None], positive=False, seed=0)
    assert found.parameters == pytest.approx({"k": 3.0, "a": 3.0}, rel=1e-5)


PROBLEMS = {
    "logistic": (logistic, {"r": 0.8, "K": 100.0}, [2.0], np.linspace(0, 12, 13)),
    "saturating": (saturating, {"v": 2.0, "m": 3.0}, [10.0], np.linspace(0, 12, 13)),
    "chain": (chain, {"k": 1.5, "q": 0.7}, [5.0, 0.0], TIMES),
    "epidemic": (epidemic, {"beta": 0.4, "gamma": 0.1}, [990.0, 10.0], np.linspace(0, 60, 13)),
    "oscillation": (
        prey_and_predator,
        {"alpha": 0.55, "beta": 0.028, "gamma": 0.8, "delta": 0.024},
        [33.0, 6.0],
        np.arange(21.0),
    ),
}


def solved(field, p, y0, times):
    """By SciPy, with the same field on arrays."""
    return solve_ivp(
        lambda t, y: ops.convert_to_numpy(field(t, ops.convert_to_tensor(y), p)),
        times[[0, -1]],
        y0,
        t_eval=times,
        rtol=1e-7,
        atol=1e-7,
    ).y.T


@MANY_FITS
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", PROBLEMS)
def test_truth_is_found_from_starts_that_are_off_by_up_to_ten(name, seed):
    field, truth, y0, times = PROBLEMS[name]
    rng = np.random.default_rng(seed)
    start = {key: value * 10 ** rng.uniform(-1, 1) for key, value in truth.items()}
    data = solved(field, truth, y0, times)
    found = ode.fit(field, start, times, data, initial=y0, seed=seed)
    assert found.parameters == pytest.approx(truth, rel=1e-3)
    assert found.converged


@MANY_FITS
@pytest.mark.parametrize("name", ["logistic", "saturating"])
def test_estimates_and_errors_are_those_of_scipy(name):
    field, truth, y0, times = PROBLEMS[name]
    data = solved(field, truth, y0, times) + 0.3 * np.random.default_rng(7).standard_normal((len(times), 1))
    found = ode.fit(field, truth, times, data, initial=y0, starts=1)

    def residuals(x):
        return (solved(field, dict(zip(truth, x, strict=True)), y0, times) - data)[1:].ravel()

    peer = least_squares(residuals, [*truth.values()], x_scale=[*truth.values()], diff_step=1e-4)
    errors = np.sqrt(
        np.diag(np.linalg.inv(peer.jac.T @ peer.jac)) * 2 * peer.cost / (len(times) - 1 - len(truth))
    )
    assert [*found.parameters.values()] == pytest.approx(peer.x, rel=1e-3)
    assert [*found.errors.values()] == pytest.approx(errors, rel=2e-2)


def test_a_search_that_is_cut_short_says_so():
    with pytest.warns(ode.ConvergenceWarning, match=r"has not converged .*raise max_iterations \(1\)"):
        found = ode.fit(
            relaxation, {"k": 0.1, "a": 10.0}, TIMES, RELAXED[:, None], starts=1, steps=25, max_iterations=1
        )
    assert found.converged is False
    assert "NOT TO BE RELIED ON: the search has not converged" in repr(found)
    assert found.unidentified == ()


@MANY_FITS
def test_a_field_that_is_not_that_of_the_observations_is_told():
    with pytest.warns(ode.ConvergenceWarning, match="worse than their means"):
        ode.fit(decay, {"k": 1.0}, TIMES, 5 + 3 * TIMES[:, None], initial=[1.0], starts=1)


@MANY_FITS
@pytest.mark.parametrize("origin", [0.0, 2459000.5, -3.0])
@pytest.mark.parametrize("given", [None, [6.0]])
def test_times_far_from_zero(origin, given):
    found = ode.fit(
        relaxation, {"k": 1.0, "a": 1.0}, origin + TIMES, RELAXED[:, None], initial=given, starts=1
    )
    assert found.parameters == pytest.approx({"k": 3.0, "a": 3.0}, rel=1e-5)
    assert found.initial_time == origin
    np.testing.assert_allclose(found.solution(origin + TIMES[:3])[:, 0], RELAXED[:3], rtol=1e-5)


@MANY_FITS
def test_the_field_is_told_the_true_time():
    origin = 1000.25
    found = ode.fit(
        lambda t, y, p: p["a"] * ops.cos(2 * np.pi * t) + 0 * y,
        {"a": 1.0},
        origin + TIMES / 8,
        3.0 * (np.sin(2 * np.pi * (origin + TIMES / 8)) - 1)[:, None] / (2 * np.pi),
        starts=1,
    )
    assert found.parameters["a"] == pytest.approx(3.0, rel=1e-5)


@MANY_FITS
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(scale):
    found = ode.fit(relaxation, {"k": 1.0, "a": scale}, TIMES, scale * RELAXED[:, None], starts=1)
    assert found.parameters == pytest.approx({"k": 3.0, "a": 3.0 * scale}, rel=1e-5)


def test_the_initial_state_may_hold_before_the_first_observation():
    found = ode.fit(
        decay,
        {"k": 1.0},
        TIMES[2:],
        5 * np.exp(-1.5 * TIMES[2:])[:, None],
        initial=[5.0],
        initial_time=0.0,
        starts=1,
        steps=25,
    )
    assert found.parameters["k"] == pytest.approx(1.5, rel=1e-4)
    assert found.initial_time == 0.0
    assert found.solution([0.0])[0, 0] == 5.0
    assert found.residuals.shape == (7, 1)
    with pytest.raises(ValueError, match="times must not be before 0, the initial time"):
        found.solution([-1.0, 1.0])
    with pytest.raises(ValueError, match="times must not be before 0, the initial time"):
        found.band([-1.0, 1.0])


def test_one_observation_is_enough_where_the_noise_is_known():
    found = ode.fit(
        decay,
        {"k": 1.0},
        [1.0],
        [[5 * np.exp(-1.5)]],
        initial=[5.0],
        initial_time=0.0,
        sigma=0.1,
        starts=1,
        steps=25,
    )
    assert found.parameters["k"] == pytest.approx(1.5, rel=1e-4)
    assert found.errors["k"] == pytest.approx(0.1 / (5 * np.exp(-1.5)), rel=1e-4)


@MANY_FITS
def test_as_many_parameters_as_observations_leave_no_standard_errors():
    with pytest.warns(ode.IdentifiabilityWarning, match="2 observations for 2 parameters"):
        found = ode.fit(decay, {"k": 1.0}, [0.0, 1.0], [[5.0], [2.0]], starts=1)
    assert found.parameters["k"] == pytest.approx(np.log(2.5), rel=1e-4)
    assert found.errors["k"] == np.inf
    assert np.isinf(found.band([0.5])).all()


@MANY_FITS
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "fitted"),
        ({"fit_initial": True}, "fitted"),
        ({"fit_initial": False}, "the first observation, taken as exact"),
        ({"initial": [5.0, 0.0]}, "given, taken as exact"),
        ({"initial": [np.nan, 0.0]}, "in part fitted; in part given, taken as exact"),
        ({"initial": [4.0, 0.5], "fit_initial": True}, "fitted"),
    ],
)
def test_it_is_told_where_the_initial_state_is_from(options, wanted):
    """The second species starts at 0, whose logarithm there is none of."""
    found = ode.fit(chain, {"k": 1.0, "q": 1.0}, TIMES, chained(1.5, 0.7), starts=1, steps=25, **options)
    assert found.initial_is == wanted
    assert f"initial state at t = 0: {wanted}" in repr(found)
    np.testing.assert_allclose(found.initial, [5.0, 0.0], atol=1e-4)
    assert found.parameters["k"] == pytest.approx(1.5, rel=1e-4)
    assert ("initial" in found.parameters) == options.get("fit_initial", False)


@MANY_FITS
def test_counts_have_standard_errors_that_are_honest():
    """Squares of error by standard error average 1, over eight epidemics of Poisson counts.

    They are beyond 2.6 in one set of a hundred.
    """
    field, truth, y0, times = PROBLEMS["epidemic"]
    path = solved(field, truth, y0, times)
    away = []
    for seed in range(8):
        found = ode.fit(
            field, {"beta": 0.3, "gamma": 0.2}, times, np.random.default_rng(seed).poisson(path), starts=1
        )
        away.append([(found.parameters[name] - truth[name]) / found.errors[name] for name in truth])
    assert (np.mean(np.square(away), axis=0) < 2.6).all()
    assert np.abs(away).max() < 4.5


@MANY_FITS
def test_states_that_become_negative_need_no_bound():
    times = np.linspace(0.0, 3.0, 13)
    data = np.stack([-np.cos(2 * times), 2 * np.sin(2 * times)], axis=-1)

    def swing(t, y, p):
        return ops.stack([y[..., 1], -p["w"] * y[..., 0]], axis=-1)

    found = ode.fit(swing, {"w": 3.0}, times, data, fit_initial=True, starts=1)
    assert found.parameters["w"] == pytest.approx(4.0, rel=1e-4)
    np.testing.assert_allclose(found.parameters["initial"], [[-1.0, 0.0]], atol=1e-4)


@MANY_FITS
def test_masked_and_missing_values_are_left_out():
    data = chained(1.5, 0.7)
    hidden = np.zeros(data.shape, bool)
    hidden[4], hidden[5, 0] = True, True
    masked = np.ma.masked_array(np.where(hidden, 99.0, data), hidden)
    gaps = np.where(hidden, np.nan, data)
    for seen in (masked, gaps):
        found = ode.fit(chain, {"k": 1.0, "q": 1.0}, TIMES, seen, starts=1, steps=25)
        assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": np.append(TIMES[:-1], 0.1)}, "times must rise throughout, got 1.75 before 0.1 at 8"),
        ({"times": np.append(TIMES[:-1], np.nan)}, "times must be finite, got nan at 8"),
        ({"initial_time": 0.5}, "times must not be before initial_time, 0.5, got 0.0"),
        ({"initial_time": np.inf}, "initial_time must be a finite number, got inf"),
        ({"initial_time": -1.0}, "initial must be given where initial_time is before the first observation"),
        ({"times": [1.0], "observed": [[1.0]]}, "got a single time"),
        ({"observed": np.ones(9)}, "one state alone is observed[:, None]"),
        (
            {"observed": np.append(np.ones(8), np.inf)[:, None]},
            "observed must be finite, or NaN where nothing was seen, got inf",
        ),
        ({"observed": [["a"]] * 9}, "observed must hold numbers"),
        ({"sigma": [1.0, 2.0]}, "sigma must be a number or one for each of 1 states, got the shape (2,)"),
        ({"parameters": {}, "initial": [1.0]}, "parameters must hold something to fit"),
        ({"parameters": {"initial": 1.0}}, "a parameter must not be called 'initial'"),
        ({"spread": np.nan}, "spread must be 0 or more, got nan"),
        (
            {"times": [TIMES, TIMES + 1], "observed": [np.ones((9, 1)), np.ones((9, 1))]},
            "all experiments must begin at one time, got [0.0, 1.0]: initial_time= says",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(options, message):
    given = {"field": decay, "parameters": {"k": 1.0}, "times": TIMES, "observed": np.ones((9, 1))} | options
    with pytest.raises(ValueError, match=re.escape(message)):
        ode.fit(**given)


def test_experiments_may_begin_at_their_own_times_after_the_initial_one():
    early, late = TIMES[1:], np.array([0.3, 1.1, 1.9])
    data = [chained(1.5, 0.7, 5.0, early), chained(1.5, 0.7, 2.0, late)]
    found = ode.fit(
        chain,
        {"k": 1.0, "q": 1.0},
        [early, late],
        data,
        initial=[[5.0, 0.0], [2.0, 0.0]],
        initial_time=0.0,
        starts=1,
        steps=25,
    )
    assert found.parameters == pytest.approx({"k": 1.5, "q": 0.7}, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"k": -1.0}}, "parameter 'k' must start within its bounds (0.0, None), got -1.0"),
        ({"bounds": {"q": (0, 1)}}, "bounds must name parameters (k), got 'q'"),
        ({"bounds": {"k": (2, 1)}}, "bounds of 'k' must rise"),
        (
            {"observed": np.ones((3, 1))},
            "observed must be (time, state) or (experiments, time, state) with 9 times, got (3, 1)",
        ),
        (
            {"observed": np.full((9, 1), np.nan)},
            "initial must be given where the first row of observed has gaps",
        ),
        (
            {"observed": np.full((9, 1), np.nan), "initial": [1.0]},
            "observed must hold something beside the initial state",
        ),
        (
            {"observed": -np.ones((9, 1)), "noise": "lognormal"},
            "observed must be above 0 where noise is 'lognormal', got -1",
        ),
        ({"noise": "poisson"}, "noise must be one of normal, lognormal, got 'poisson'"),
        ({"sigma": "each"}, "sigma must be None, 'species' or numbers, got 'each'"),
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"starts": 0}, "starts must be at least 1, got 0"),
        ({"times": -TIMES}, "times must rise, got falling ones"),
        (
            {"observed": np.geomspace(1, 1e300, 9)[:, None]},
            "observed must hold numbers whose squares are finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    given = {"field": decay, "parameters": {"k": 1.0}, "times": TIMES, "observed": np.ones((9, 1))} | options
    with pytest.raises(ValueError, match=re.escape(message)):
        ode.fit(**given)


def test_a_start_from_which_nothing_can_be_solved():
    with (
        pytest.raises(FloatingPointError, match="the solution is not finite from any start"),
        warnings.catch_warnings(),
    ):
        ode.fit(
            lambda t, y, p: p["k"] * y**3,
            {"k": 50.0},
            TIMES,
            np.ones((9, 1)),
            initial=[5.0],
            starts=2,
            spread=0.01,
        )

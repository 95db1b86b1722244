"""Rates that follow time, against exact laws.

False alarms: a Pearson test at level 1e-4 for each species and time, means and variances at 5σ; about one
seed in 400 fails anything.
"""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from partita.reactions import Network, SimulationWarning, simulate
from partita.reactions.kernels.layout import plan
from partita.reactions.simulation import engine
from tests.reactions.test_laws import pearson

TEXT = """
species N, A, B, F, H, S; k = 2; A = 40; B = 50
-> N @@ 10 + 5 * sin(t)
A -> @@ k * exp(-t) * A
B -> @@ B * if(t < 3, 0.1, 1) * (1 + sin(t) ** 2)
-> F @@ 6 + 5 * cos(2 * t)
when F >= 20: F = 0
-> H @@ 8 * hill(t, 5, 2)
H -> @ 0.5
-> S @ 0.04 * t * t
"""
NET = Network.from_text(TEXT)
TIMES = np.array([0.5, 2.9, 3.5, 6.0, 12.0])
TRAJECTORIES = 20_000


def poisson_of(t):
    return stats.poisson(10 * t + 5 * (1 - np.cos(t)))


def folded(t):
    """A Poisson count that starts again from 0 whenever it reaches 20."""
    law = stats.poisson(6 * t + 2.5 * np.sin(2 * t)).pmf(np.arange(400))
    return law.reshape(20, 20).sum(0)


def exponent(t):
    def integral(s):
        return 1.5 * s - np.sin(2 * s) / 4

    return 0.1 * integral(min(t, 3)) + integral(max(t, 3)) - integral(3)


def births_and_deaths(t):
    s = np.linspace(0, t, 20001)
    return stats.poisson(np.trapezoid(8 * s**2 / (25 + s**2) * np.exp(-0.5 * (t - s)), s))


COUNTS = np.arange(400)
LAWS = {
    "N": lambda t: poisson_of(t).pmf(COUNTS),
    "A": lambda t: stats.binom(40, np.exp(-2 * (1 - np.exp(-t)))).pmf(COUNTS),
    "B": lambda t: stats.binom(50, np.exp(-exponent(t))).pmf(COUNTS),
    "F": folded,
    "H": lambda t: births_and_deaths(t).pmf(COUNTS),
    "S": lambda t: stats.poisson(0.04 * t**3 / 3).pmf(COUNTS),
}


@pytest.fixture(scope="module")
def runs():
    return NET.simulate(TIMES, TRAJECTORIES, seed=5)


@pytest.mark.parametrize("species", LAWS)
def test_counts_follow_their_law(runs, species):
    assert (runs.status == "finished").all()
    for k, t in enumerate(TIMES):
        law = LAWS[species](t)
        if law.max() < 0.999:
            assert pearson(runs[species].values[:, k], law) > 1e-4, t


def test_mean_and_variance_are_the_integral_of_the_rate(runs):
    for k, t in enumerate(TIMES):
        mean = poisson_of(t).mean()
        counts = runs.N.values[:, k]
        assert abs(counts.mean() - mean) < 5 * np.sqrt(mean / TRAJECTORIES)
        assert abs(counts.var(ddof=1) - mean) < 5 * np.sqrt((mean + 2 * mean**2) / TRAJECTORIES)
    steps = np.diff(runs.N.values, axis=1)
    assert (abs(np.corrcoef(steps.T)[np.triu_indices(4, 1)]) < 5 / np.sqrt(TRAJECTORIES)).all()


def test_species_are_independent_where_their_rates_are(runs):
    last = np.stack([runs[name].values[:, 2] for name in LAWS])
    assert (abs(np.corrcoef(last)[np.triu_indices(6, 1)]) < 5 / np.sqrt(TRAJECTORIES)).all()


def test_the_seed_alone_decides(runs, monkeypatch):
    first = runs.isel(trajectory=slice(60))
    xr.testing.assert_identical(first, simulate(NET, TIMES, 60, seed=5, threads=1))
    reduced = simulate(NET, TIMES, 60, seed=5, reduce="mean", chunk=7)
    np.testing.assert_allclose(reduced.N_mean, first.N.mean("trajectory"), rtol=1e-14)
    dense = simulate(NET, np.union1d(TIMES, np.linspace(0, 12, 301)), 60, seed=5)
    xr.testing.assert_equal(dense.sel(time=TIMES)[[*LAWS]], first[[*LAWS]])
    monkeypatch.setattr(engine, "BUDGET", 50)  # kernels return to Python all the time
    xr.testing.assert_identical(first, simulate(NET, TIMES, 60, seed=5))


def test_trace_holds_what_simulate_records(runs):
    path = NET.trace(12, trajectory=7, seed=5)
    rows = np.searchsorted(path.time, TIMES, side="right") - 1
    for name in LAWS:
        np.testing.assert_array_equal(path[name][rows], runs[name][7])
    assert (path.reaction >= 0).sum() == runs.events[7]
    assert (path.F < 20).all()


FAULTY = Network.from_text("""
species A; slow = 0; pole = 0; gone = 0; below = 0; wild = 0; brief = 0
line: -> A @@ 1 - slow * t
pole: -> A @@ if(pole > 0, 1 / (3 - t), 0)
root: -> A @@ if(gone > 0, sqrt(2 - t), 0)
-> A @@ below * exp(-t)
-> A @@ if(wild > 0, exp(exp(t)), 0)
wave: -> A @@ brief * (10 + 10.5 * sin(t))
""")


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"slow": 1}, r"'line: -> A @@ 1 - slow \* t' is -.* at t = 1(\.\d*)? in the state A = "),
        ({"pole": 1}, r"'pole: .* is inf at t = 3 in the state"),
        ({"gone": 1}, r"'root: .* is nan at t = 2 in the state"),
        ({"below": -1}, r"below \* exp\(-t\)' is -1 at t = 0 in the state A = 0"),
        ({"brief": 1}, r"'wave: .* is -"),
    ],
)
def test_what_cannot_go_on_stops_and_is_named(parameter, message):
    with pytest.warns(SimulationWarning, match=message):
        runs = simulate(FAULTY, [0.0, 100.0], 20, seed=0, parameters=parameter)
    assert (runs.status == "bad propensity").all()
    assert (runs.A.sel(time=100) == -1).all()
    assert (runs.end < 10).all()


def test_a_rate_that_grows_without_end_can_be_stopped():
    with pytest.warns(SimulationWarning, match="max_events = 1000"):
        runs = simulate(FAULTY, [5.0], 3, seed=0, parameters={"wild": 1}, max_events=1000)
    assert (runs.status == "event limit").all()


def test_scales_of_time_do_not_matter():
    """A rate of 1e-9 t to t = 1e5 and one of 1e9 (1 + sin(t)) / 2 to 1e-7: 5 and 50 events in the mean."""
    network = Network.from_text("fast = 0; -> N @@ 1e-9 * t * (1 - fast) + fast * 1e9 * (1 + sin(t)) / 2")
    for parameters, time, mean in [({}, 1e5, 5), ({"fast": 1.0}, 1e-7, 50)]:
        runs = simulate(network, [time], 2000, seed=1, parameters=parameters)
        assert abs(runs.N.mean() - mean) < 5 * np.sqrt(mean / 2000)


def test_nothing_more_can_happen_only_when_no_time_brings_it_back():
    network = Network.from_text("A = 3; B = 0; A -> @@ A * t; B -> @@ B * if(t < 500, 1, t)")
    assert (simulate(network, [100.0], 5, seed=0).status == "finished").all()  # B's rate may yet change
    runs = simulate(network, [1000.0], 5, seed=0)
    assert (runs.status == "absorbed").all()
    assert (runs.events == 3).all()


def test_other_methods_and_conditions_of_events_refuse():
    for method in ("sparse", "tau"):
        with pytest.raises(ValueError, match="cannot do events, or rates that depend on time; use 'direct'"):
            simulate(NET, [1.0], seed=0, method=method)
    with pytest.raises(
        ValueError, match=r"the condition of .* depends on time through 't': exact simulation takes"
    ):
        simulate(Network.from_text("X = 1; X -> @ 1; when sin(t) > 0.5: X = 3"), [1.0], seed=0)


def test_only_rates_that_follow_time_are_thinned():
    assert simulate(NET, [0.1], seed=0).method == "direct"
    assert plan(NET).smooth
    steps = plan(Network.from_text("A = 9; A -> @@ A * if(t < 3, 1, 2); at t > 2: A = 5"))
    assert not steps.smooth
    assert len(steps.stops) == 2

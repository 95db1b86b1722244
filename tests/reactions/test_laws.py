"""Every method draws from the law of the master equation.

False alarms: a Pearson test at level 1e-4 for each network, method, species and time; about one seed in 300
fails anything.
"""

import numpy as np
import pytest
from scipy import stats

from partita.reactions import Network
from partita.reactions.simulation import engine

EXPRESSION = "-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1"
BIRTH_DEATH = "X = 20; X -> 2 X @ 0.5; X -> @ 0.6"
DIMERS = "A = 30; B = 5; 2 A <-> B @ 0.02, 0.3"
NETWORKS = {
    "expression": (EXPRESSION, {"m": 60, "n": 160}, [0.5, 4.0]),
    "birth and death": (BIRTH_DEATH, {"X": 300}, [1.0, 4.0]),
    "dimers": (DIMERS, {"A": 40, "B": 20}, [0.3, 5.0]),
    "laws of all kinds": (
        "X = 5; Y = 3; vmax = 9; -> X @@ vmax * hill(Y + 1, 4, 2) + max(0, 2 - X); X -> Y @@ mm(X, 6, 3) * "
        "if(X > 2 and Y < 30, 1, 0.5);"
        "Y -> @@ sqrt(Y ** 2) * exp(-0.1) + floor(abs(Y) / 4) - min(Y, 0); -> X @@ hill(Y, 4, -2)",
        {"X": 60, "Y": 60},
        [1.0, 6.0],
    ),
}
TRAJECTORIES = 20_000


@pytest.fixture(scope="module", params=NETWORKS)
def exact(request):
    text, bounds, times = NETWORKS[request.param]
    network = Network.from_text(text)
    law = network.master_equation(bounds)
    return network, times, {name: law.distribution(times, [name]) for name in law.species}


def pearson(counts, probabilities):
    """Return the p-value of counts against the exact probabilities.

    The tails are in classes of at least five expected.
    """
    expected = probabilities * len(counts)
    observed = np.bincount(counts, minlength=len(expected)).astype(float)
    assert observed[len(expected) :].sum() == 0
    classes = np.minimum(np.cumsum(expected) // 5, (expected.sum() - 5) // 5).astype(int)
    observed, expected = (np.bincount(classes, weights=values) for values in (observed, expected))
    used = expected > 0
    return stats.chisquare(observed[used], expected[used] * observed.sum() / expected.sum()).pvalue


@pytest.mark.parametrize("method", ["direct", "scalar", "sparse"])
def test_counts_follow_the_master_equation(exact, method):
    network, times, laws = exact
    runs = network.simulate(times, TRAJECTORIES, seed=11, method=method.replace("scalar", "direct"))
    for name, law in laws.items():
        for k in range(len(times)):
            assert pearson(runs[name].values[:, k], law.values[k]) > 1e-4, (name, times[k])


@pytest.mark.parametrize("name", ["expression", "dimers"])
def test_tau_leaping_is_near_the_master_equation(name):
    """Within its own error: means to 2 %, variances to 10 %, at counts that are not large."""
    text, bounds, times = NETWORKS[name]
    network = Network.from_text(text)
    law = network.master_equation(bounds)
    runs = network.simulate(times, TRAJECTORIES, seed=3, method="tau")
    for species in law.species:
        exact = law.distribution(times, [species])
        values = exact[species].values
        mean = (exact.values * values).sum(1)
        variance = (exact.values * values**2).sum(1) - mean**2
        np.testing.assert_allclose(runs[species].values.mean(0), mean, rtol=0.02)
        np.testing.assert_allclose(runs[species].values.var(0), variance, rtol=0.1)


def test_tau_leaping_leaps_where_counts_are_large():
    """2 A ⇌ B from 10⁵: the rate equation's path to 3 %, without going through every event."""
    runs = Network.from_text("A = 100000; 2 A <-> B @ 1e-4, 0.1").simulate(
        [1.0, 20.0], 50, seed=1, method="tau"
    )
    assert (runs.A + 2 * runs.B == 100_000).all()
    exact = Network.from_text("A = 100000; 2 A <-> B @ 1e-4, 0.1").simulate(
        [1.0, 20.0], 4, seed=1, method="sparse"
    )
    np.testing.assert_allclose(runs.A.values.mean(0), exact.A.values.mean(0), rtol=0.03)


def test_sparse_and_direct_agree_on_a_network_of_many_scales():
    """Two-sample Kolmogorov–Smirnov at level 1e-4, five species; rates over nine powers of ten."""
    network = Network.from_text(
        "a = 1000; b = 50; c = 1; a -> a + b @ 0.3; b -> @ 6; c -> c + d @ 0.01; d + b -> e @ 1e-4; e -> d "
        "+ b @ 500;"
        "c -> @ 1e-6; 2 b -> b @ 1e-3"
    )
    one, other = (
        network.simulate([3.0], 4000, seed=seed, method=method)
        for seed, method in ((1, "direct"), (2, "sparse"))
    )
    for name in network.species:
        assert stats.ks_2samp(one[name].values[:, 0], other[name].values[:, 0]).pvalue > 1e-4


def test_method_by_size():
    ring = "; ".join(f"X{i} -> X{(i + 1) % 40} @ 1" for i in range(40))
    assert Network.from_text(ring).simulate([1], seed=0).method == "sparse"
    assert Network.from_text(EXPRESSION).simulate([1], seed=0).method == "direct"
    assert engine.LARGEST_DIRECT < 40

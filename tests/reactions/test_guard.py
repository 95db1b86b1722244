"""No reaction takes what is not there: the run stops and says so, in every method."""

import warnings

import numpy as np
import pytest

from partita.reactions import Network, SimulationWarning
from partita.reactions.kernels.guard import guarded

TAKES_NOTHING_MISSING = [
    "A -> B @@ k * A",
    "A -> B @@ k * A / (1 + B)",
    "A -> B @@ mm(A, k, 3)",
    "A -> B @@ hill(A, 3, 2)",
    "2 A -> B @@ k * A * (A - 1) / 2",
    "A + B -> @@ k * B * A ** 2",
    "A -> B @@ if(B > 2, A, 2 * A)",
    "A -> A + B @@ k",
    "A -> B @@ k * (A - A * 0.5 * 0)",
    "A -> B @ k",
    "3 A -> @ k",
]
MAY_TAKE_WHAT_IS_MISSING = [
    "A -> B @@ k",
    "2 A -> B @@ k * A",
    "A -> B @@ k * (1 + A)",
    "A + B -> @@ k * A",
    "A -> @@ k * A ** 0",
    "A -> @@ A - 5",
]


@pytest.mark.parametrize("text", TAKES_NOTHING_MISSING)
def test_a_law_that_is_zero_where_it_must_be_stays_as_it_is(text):
    network = Network.from_text(f"k = 1; {text}")
    law = network.propensity(network.reactions[0])
    assert guarded(law, network.change(network.reactions[0])) is law


@pytest.mark.parametrize("text", MAY_TAKE_WHAT_IS_MISSING)
def test_other_laws_are_guarded(text):
    network = Network.from_text(f"k = 1; {text}")
    law = network.propensity(network.reactions[0])
    assert guarded(law, network.change(network.reactions[0])) is not law


@pytest.mark.parametrize("method", ["direct", "sparse"])
@pytest.mark.parametrize("trajectories", [1, 40])
def test_a_run_stops_where_a_reaction_would_take_what_is_not_there(method, trajectories):
    network = Network.from_text("A = 5; A -> B @@ 3")
    with pytest.warns(
        SimulationWarning,
        match=r"'A -> B @@ 3' would take 1 A where there are 0, at a propensity of 3 at t = ",
    ):
        runs = network.simulate([0, 50], trajectories, seed=0, method=method)
    assert set(runs.status.values) == {"bad propensity"}
    np.testing.assert_array_equal(runs.events, 5)


def test_a_law_that_stops_in_time_is_let_alone():
    network = Network.from_text("A = 5; A -> B @@ if(A > 0, 3, 0)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs = network.simulate([0, 50], 20, seed=0)
    assert set(runs.status.values) == {"absorbed"}
    np.testing.assert_array_equal(runs.A[:, -1], 0)


def test_a_rate_that_follows_the_time_is_guarded_too():
    network = Network.from_text("A = 5; A -> B @@ 3 + sin(t)")
    with pytest.warns(SimulationWarning, match=r"would take 1 A where there are 0, at a propensity of "):
        runs = network.simulate([0, 50], 10, seed=0)
    assert set(runs.status.values) == {"bad propensity"}
    np.testing.assert_array_equal(runs.events, 5)

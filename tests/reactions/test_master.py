import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import binom, poisson

from partita.reactions import Network


def test_birth_and_death_is_poisson_at_all_times():
    law = Network.from_text("-> m @ 20; m -> @ 1").master_equation({"m": 80})
    times = [0.0, 0.5, 2.0, 2.0, 30.0]
    p = law.distribution(times)
    assert p.dims == ("time", "m")
    for time in times:
        np.testing.assert_allclose(
            p.sel(time=time).values.reshape(-1, 81)[0], poisson(20 * (1 - np.exp(-time))).pmf(np.arange(81)), atol=1e-12
        )
    np.testing.assert_allclose(law.stationary(), poisson(20).pmf(np.arange(81)), atol=1e-12)


def test_the_articles_moments_are_exact():
    law = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1").master_equation({"m": 60, "n": 160})
    p = law.stationary()
    mean_m, mean_n = (float((p * p[name]).sum()) for name in "mn")
    variance = float((p * (p.n - mean_n) ** 2).sum())
    assert (mean_m, mean_n, variance / mean_n) == pytest.approx((20, 50, 2.25), rel=1e-6)
    np.testing.assert_allclose(law.stationary(["n"]), p.sum("m"), atol=1e-15)


def test_what_is_conserved_keeps_the_states_few():
    law = Network.from_text("A = 30; A <-> B @ 1, 2").master_equation({"A": 30, "B": 30})
    assert len(law.states) == 31
    share = 1 / 3 * (1 - np.exp(-3 * 0.7))
    np.testing.assert_allclose(law.distribution([0.7], ["B"])[0], binom(30, share).pmf(np.arange(31)), atol=1e-12)


def test_probability_that_leaves_the_bounds_is_lost_and_seen():
    law = Network.from_text("-> m @ 20").master_equation({"m": 9})
    assert float(law.distribution([0.25]).sum()) == pytest.approx(poisson(5).cdf(9))


def test_a_propensity_of_any_kind_is_followed():
    net = Network.from_text("k = 3; A = 2; fixed S; S = 2; x := A + 1; A -> @@ k * x * S * if(A > 1, 1, 0.5); -> A @ 0.1")
    law = net.master_equation({"A": 3}, initial={"A": 1}, parameters={"k": 1})
    rates = {0: 0.0 + 0.5 * 1 * 2, 1: 2.0, 2: 6.0, 3: 8.0}
    order = law.states[:, 0].tolist()
    assert order[0] == 1
    generator = law.generator.toarray()
    for count, rate in rates.items():
        if count:
            assert generator[order.index(count - 1), order.index(count)] == rate
    np.testing.assert_allclose(law.distribution([0.3]).values[0][order], expm(generator * 0.3)[:, 0], atol=1e-12)


def test_nothing_that_moves_is_one_state():
    p = Network(("A",), ()).master_equation({}).distribution([0, 1])
    np.testing.assert_array_equal(p, [1, 1])


@pytest.mark.parametrize(
    ("text", "bounds", "message"),
    [
        ("A -> B @ 1", {"A": 5}, "bounds must name every species that reactions change, got none for 'B'"),
        ("A = 7; A -> @ 1", {"A": 5}, "bound of 'A' must be a whole number from 7 to 9007199254740992, got 5"),
        ("A -> @ 1", {"A": 2.5}, "got 2.5"),
        ("A -> @ t", {"A": 5}, "takes no events and no rates that follow t"),
        ("A -> @ 1; at 5: A = 2", {"A": 5}, "takes no events and no rates that follow t"),
        ("-> A @@ A - 1", {"A": 5}, "propensity A - 1 must be finite and not negative, got -1.0 at {'A': 0}"),
        ("-> A @@ 1 / A", {"A": 5}, "propensity 1 / A must be finite and not negative, got inf at"),
        ("-> A @ 1; -> B @ 1; -> C @ 1", dict.fromkeys("ABC", 2**40), "bounds must span fewer than 2\\^63 states"),
        ("-> A @ 1; -> B @ 1; A + B -> C @ 1", {"A": 10**7, "B": 10, "C": 10}, "at most 2000000 states"),
    ],
)
def test_what_has_no_master_equation_is_refused(text, bounds, message, monkeypatch):
    if "2000000" in message:
        monkeypatch.setattr("partita.reactions.master.STATE_LIMIT", 2000)
        message = "at most 2000 states"
    with pytest.raises(ValueError, match=message):
        Network.from_text(text).master_equation(bounds)


@pytest.mark.parametrize("times", [[1, 0], [-1], [np.nan], [0, np.inf]])
def test_times_ascend_from_zero(times):
    law = Network.from_text("A = 1; A -> @ 1").master_equation({"A": 1})
    with pytest.raises(ValueError, match="times must be finite, at least 0 and ascending"):
        law.distribution(times)


def test_two_ways_to_end_have_no_one_end():
    law = Network.from_text("A = 1; A -> B @ 1; A -> C @ 1").master_equation({"A": 1, "B": 1, "C": 1})
    with pytest.raises(ValueError, match="not unique: 2 sets of states are never left"):
        law.stationary()
    with pytest.raises(ValueError, match="species must be among A, B, C, got 'D'"):
        law.distribution([1], ["D"])

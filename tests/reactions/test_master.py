import warnings

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import binom, poisson

from partita.reactions import BoundsWarning, Network, read_sbml
from partita.reactions.analysis import elimination, uniformization
from partita.reactions.model.expression import evaluate


def test_birth_and_death_is_poisson_at_all_times():
    law = Network.from_text("-> m @ 20; m -> @ 1").master_equation({"m": 80})
    times = [0.0, 0.5, 2.0, 2.0, 30.0]
    p = law.distribution(times)
    assert p.dims == ("time", "m")
    for time in times:
        np.testing.assert_allclose(
            p.sel(time=time).values.reshape(-1, 81)[0],
            poisson(20 * (1 - np.exp(-time))).pmf(np.arange(81)),
            atol=1e-12,
        )
    np.testing.assert_allclose(law.stationary(), poisson(20).pmf(np.arange(81)), atol=1e-12)


def test_the_articles_moments_are_exact():
    law = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1").master_equation(
        {"m": 60, "n": 160}
    )
    p = law.stationary()
    mean_m, mean_n = (float((p * p[name]).sum()) for name in "mn")
    variance = float((p * (p.n - mean_n) ** 2).sum())
    assert (mean_m, mean_n, variance / mean_n) == pytest.approx((20, 50, 2.25), rel=1e-6)
    np.testing.assert_allclose(law.stationary(["n"]), p.sum("m"), atol=1e-15)


def test_what_is_conserved_keeps_the_states_few():
    law = Network.from_text("A = 30; A <-> B @ 1, 2").master_equation({"A": 30, "B": 30})
    assert len(law.states) == 31
    share = 1 / 3 * (1 - np.exp(-3 * 0.7))
    expected = binom(30, share).pmf(np.arange(31))
    np.testing.assert_allclose(law.distribution([0.7], ["B"])[0], expected, atol=1e-12)
    np.testing.assert_allclose(law.distribution([0.7], iter(["B"]))[0], expected, atol=1e-12)


def test_probability_that_leaves_the_bounds_is_lost_and_seen():
    law = Network.from_text("-> m @ 20").master_equation({"m": 9})
    with pytest.warns(
        BoundsWarning,
        match=r"0.032 of the probability has left the bounds by t = 0.25: raise the bounds of m",
    ):
        p = law.distribution([0.1, 0.25])
    np.testing.assert_allclose(p.sum("m"), poisson([2, 5]).cdf(9), rtol=1e-12)
    np.testing.assert_allclose(p.attrs["lost"], poisson([2, 5]).sf(9), rtol=1e-9)


def test_a_propensity_of_any_kind_is_followed():
    net = Network.from_text(
        "k = 3; A = 2; fixed S; S = 2; x := A + 1; A -> @@ k * x * S * if(A > 1, 1, 0.5); -> A @ 0.1"
    )
    law = net.master_equation({"A": 3}, initial={"A": 1}, parameters={"k": 1})
    rates = {0: 0.0 + 0.5 * 1 * 2, 1: 2.0, 2: 6.0, 3: 8.0}
    order = law.states[:, 0].tolist()
    assert order[0] == 1
    generator = law.generator.toarray()
    for count, rate in rates.items():
        if count:
            assert generator[order.index(count - 1), order.index(count)] == rate
    with pytest.warns(BoundsWarning, match="a reaction takes what is not there"):  # at A = 0
        p = law.distribution([0.3])
    np.testing.assert_allclose(p.values[0][order], expm(generator * 0.3)[:, 0], atol=1e-12)


def test_nothing_that_moves_is_one_state():
    p = Network(("A",), ()).master_equation({}).distribution([0, 1])
    np.testing.assert_array_equal(p, [1, 1])


@pytest.mark.parametrize(
    ("text", "bounds", "message"),
    [
        ("A -> B @ 1", {"A": 5}, "bounds must name every species that reactions change, got none for 'B'"),
        (
            "A = 7; A -> @ 1",
            {"A": 5},
            "bound of 'A' must be a whole number from 7 to 9007199254740992, got 5",
        ),
        ("A -> @ 1", {"A": 2.5}, "got 2.5"),
        ("A -> @ t", {"A": 5}, "takes no events and no rates that follow t"),
        ("A -> @ 1; at 5: A = 2", {"A": 5}, "takes no events and no rates that follow t"),
        ("-> A @@ A - 1", {"A": 5}, "propensity A - 1 must be finite and not negative, got -1.0 at {'A': 0}"),
        ("-> A @@ 1 / A", {"A": 5}, "propensity 1 / A must be finite and not negative, got inf at"),
        (
            "-> A @ 1; -> B @ 1; -> C @ 1",
            dict.fromkeys("ABC", 2**40),
            "bounds must span fewer than 2\\^63 states",
        ),
        ("-> A @ 1; -> B @ 1; A + B -> C @ 1", {"A": 10**7, "B": 10, "C": 10}, "at most 2000000 states"),
    ],
)
def test_what_has_no_master_equation_is_refused(text, bounds, message, monkeypatch):
    if "2000000" in message:
        monkeypatch.setattr("partita.reactions.analysis.master.STATE_LIMIT", 2000)
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


def balanced(up, down):
    """The stationary law of a birth-death chain from its rates, by detailed balance in logarithms."""
    logs = np.concatenate([[0], np.cumsum(np.log(up[:-1]) - np.log(down[1:]))])
    p = np.exp(logs - logs.max())
    return p / p.sum()


def distance(p, q):
    return 0.5 * np.abs(p - q).sum()


@pytest.mark.parametrize(
    ("k", "bound"),
    [
        *[(50, 134), (75, 144), (150, 247), (200, 369), (50, 85), (800, 980)],
        *[
            (1e-6, 5),
            (0.5, 1),
            (3, 40),
            (20, 300),
            (300, 3000),
            (1000, 1400),
            (2000, 4000),
            (5000, 9000),
            (1e4, 11000),
        ],
    ],
)
@pytest.mark.parametrize("start", [0, "bound"])
def test_births_and_deaths_are_a_poisson_law_cut_at_the_bound(k, bound, start):
    law = Network.from_text(f"-> A @ {k}; A -> @ 1").master_equation(
        {"A": bound}, {"A": 0 if start == 0 else bound}
    )
    counts = np.arange(bound + 1.0)
    expected = balanced(np.full(bound + 1, float(k)), counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundsWarning)  # (0.5, 1) and the like are cut off
        p = law.stationary()
    assert distance(p.values, expected) < 1e-10
    assert float((p * p.A).sum()) == pytest.approx(expected @ counts, rel=1e-10)
    assert p.attrs["leak"] == pytest.approx(k * expected[-1], rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("start", [0, 250, 600])
@pytest.mark.parametrize("scale", [1, 3])
def test_schloegls_law_does_not_depend_on_where_it_starts(data_folder, start, scale):
    net = read_sbml(data_folder / "sbml" / "schlogl_cuTauLeaping.xml")
    rates = {
        name: value / scale**power
        for (name, value), power in zip(net.parameters.items(), (0, 1, 2, -1, 0), strict=True)
    }
    bound = 900 * scale
    law = net.master_equation({"X": bound}, {"X": start}, rates)
    values = {**rates, **net.initial, "X": np.arange(bound + 1.0)}
    up, down = np.zeros(bound + 1), np.zeros(bound + 1)
    for reaction in net.reactions:
        rate = np.broadcast_to(evaluate(net.propensity(reaction), values), bound + 1)
        up, down = (up + rate, down) if net.change(reaction)["X"] > 0 else (up, down + rate)
    assert distance(law.stationary().values, balanced(up, down)) < 1e-10


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("-> A @@ 30 / (1 + B ** 2); -> B @@ 30 / (1 + A ** 2); A -> @ 1; B -> @ 1", {"A": 20, "B": 20}),
        ("-> A @ 3; A -> A + 3 B @ 0.5; A -> @ 1; B -> @ 0.2; A + B -> @ 0.01", {"A": 12, "B": 30}),
        ("A = 4; A <-> B @ 1e6, 2; B <-> C @ 1e-6, 3; C -> A @ 1", {"A": 4, "B": 4, "C": 4}),
        ("S = 9; S -> A @ 1; -> A @ 5; A -> @ 1", {"S": 9, "A": 30}),
    ],
)
def test_stationary_laws_of_several_species_solve_the_equation(text, bounds):
    law = Network.from_text(text).master_equation(bounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundsWarning)
        p = law.stationary()
    found = p.values[tuple(law.states.T)]
    closed = law.generator.toarray() - np.diag(law.generator.toarray().sum(0))
    system = np.vstack([closed / np.abs(closed).max(), np.ones(len(closed))])
    expected = np.linalg.lstsq(system, np.append(np.zeros(len(closed)), 1), rcond=None)[0]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    outflow = -closed.diagonal() * found
    np.testing.assert_allclose(
        (closed - np.diag(closed.diagonal())) @ found, outflow, rtol=1e-10, atol=1e-300
    )


def test_closed_conversions_are_binomial_however_stiff():
    for ratio in (1e-12, 1e-3, 1.0, 1e9):
        p = (
            Network.from_text(f"A = 30; A <-> B @ {ratio}, 1")
            .master_equation({"A": 30, "B": 30})
            .stationary(["B"])
        )
        np.testing.assert_allclose(p, balanced(ratio * np.arange(30, -1, -1.0), np.arange(31.0)), rtol=1e-9)


def test_sets_that_are_hardly_ever_left_are_solved_or_refused():
    chain = "-> A @@ if(A < 1, 1e-100, if(A < 2, 1, 0)); A -> @@ if(A > 1, 1, if(A > 0, 1e-90, 0))"
    p = Network.from_text(chain).master_equation({"A": 2}).stationary()
    np.testing.assert_allclose(p, [1 / (1 + 2e-10), 1e-10, 1e-10], rtol=1e-9)
    two_wells = "A = 1; A -> B @ 1e-300; B -> C @ 1e300; C -> B @ 1e-300; B -> A @ 1e300"
    law = Network.from_text(two_wells).master_equation({"A": 1, "B": 1, "C": 1})
    try:
        p = law.stationary()
    except ValueError as error:
        assert "cannot be told in float64" in str(error)  # noqa: PT017
    else:
        np.testing.assert_allclose(p.sum(["B", "C"]), [0.5, 0.5])


def test_what_leads_out_of_the_bounds_is_told():
    law = Network.from_text("-> A @ 50; A -> @ 1; -> B @ 1; B -> @ 1").master_equation({"A": 50, "B": 30})
    with pytest.warns(
        BoundsWarning,
        match=r"of what happens would lead out of the bounds, .* in a unit of time: raise the bounds of A$",
    ):
        p = law.stationary(["A"])
    edge = balanced(np.full(51, 50.0), np.arange(51.0))[-1]
    assert p.attrs["leak"] == pytest.approx(50 * edge, rel=1e-9)
    assert 0 < p.attrs["leak_share"] < 1


def test_an_elimination_that_takes_too_much_is_refused(monkeypatch):
    law = Network.from_text("-> A @ 5; A -> @ 1").master_equation({"A": 200})
    monkeypatch.setattr(elimination, "KEPT_LIMIT", 100)
    with pytest.raises(
        ValueError, match=r"the stationary distribution of 201 states would take .* lower the bounds"
    ):
        law.stationary()


@pytest.mark.parametrize("time", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("-> A @ 8; A -> @ 1", {"A": 40}),
        ("A = 6; A <-> B @ 1e5, 2e5; B -> C @ 1e-2", {"A": 6, "B": 6, "C": 6}),
        ("A = 9; 2 A -> @ 3; -> A @ 1e3; A -> @ 100", {"A": 60}),
    ],
)
def test_distributions_are_those_of_the_matrix_exponential(text, bounds, time):
    law = Network.from_text(text).master_equation(bounds)
    expected = expm(law.generator.toarray() * time)[:, 0]
    found = law.distribution([time / 2, time]).values[1][tuple(law.states.T)]
    assert (
        distance(found, expected / expected.sum()) < 1e-8
    )  # less than that is not right in the exponential by Padé
    assert (found >= 0).all()


def test_long_times_end_in_the_stationary_law_or_are_refused(monkeypatch):
    law = Network.from_text("-> A @@ if(A < 200, 5e4, 0); A -> @ 1e3").master_equation({"A": 200})
    expected = balanced(np.full(201, 50.0), np.arange(201.0))
    assert distance(law.distribution([1e9]).values[0], expected) < 1e-10
    monkeypatch.setattr(uniformization, "WORK_LIMIT", 1e6)
    with pytest.raises(
        ValueError, match=r"units of time hold up to .* jumps, .* take `stationary`, earlier times"
    ):
        law.distribution([1e9])


def test_many_states_are_found_without_looking_at_all_again():
    law = Network.from_text("-> A @ 9; A -> @ 1; -> B @ 9; B -> @ 1").master_equation({"A": 150, "B": 150})
    assert len(law.states) == 151**2
    both = law.stationary()
    one = balanced(np.full(151, 9.0), np.arange(151.0))
    assert distance(both.values, np.outer(one, one)) < 1e-10

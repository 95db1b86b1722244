"""The kernel that reads everything from tables, against the compiled ones and against laws known exactly."""

import numpy as np
import pytest
from scipy import stats

from partita.reactions import Network, SimulationWarning
from partita.reactions.kernels import sizes
from partita.reactions.kernels.layout import plan
from partita.reactions.simulation import engine

TIMES = np.linspace(0, 20, 9)
STILL = {
    "gene": "-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1",
    "dimers": "convention permutations; A = 300; 2 A <-> B @ 0.01, 0.3; 3 B -> A @ 1e-4",
    "any law": "A = 50; A -> B @@ hill(A, 20, 2) * A; B -> A @@ if(A > B or not B < 10, 0.1 * B, min(B, 2, "
    "exp(-B)) * sqrt(B))",
    "doses": "A = 5; k = 1; A -> @ k; -> A @ 3; at 5: A = A + 20, k = 2 * k; at t > 10: k = 0.5; "
    "when A > 20, priority 2: A = 3",
    "two at a moment": "A = 5; B = 1; A -> @ 0.2; at 3, priority 1: A = 10; "
    "at 3, priority 2: A = 2 * A, B = A; when B > 3: B = B - 3",
    "a rule": "A = 5; B = 5; all := A + 2 * B; A -> B @@ all / 20 * A; B -> A @ 1; when all > 14: A = 2",
    "empty pairs": "A = 0; 2 A -> B @ 1",
    "pairs": "A = 5; B = 4; 2 A -> B @ 1; B -> 2 A @ 1; at 7: A = 0",
    "a switch of time": "A = 30; -> A @@ if(t < 7, 2, 40); A -> @ 0.3",
    "an event to come": "A = 3; A -> @ 10; at 100: A = 5",
    "signs of zero": "A = 3; -> A @@ if(0 == A - A, 1 + 0 / (1 + A), -0 * A); "
    "A -> @@ if(1 / (-0 * A) < 0, A, 2 * A)",
    "not at start": "A = 5; A -> @ 0.1; when A < 6, not at start: A = 50; when A < 3: A = 30",
}
MOVING = {
    "waves": "-> A @@ 10 * (1 + sin(t)); A -> @ 0.3",
    "growth": "A = 20; A -> 2 A @@ A * t / 100; A -> @ 0.2",
    "a switch": "A = 30; -> A @@ if(t < 7, 2, 40) * exp(-t / 5); A -> @ 0.3; at 12: A = 100",
    "powers": "A = 10; -> A @@ (t - 10) ** 2 / 10 + abs(cos(t)) + hill(t, 5, 3); A -> @@ A * mm(t, 1, 4)",
}


@pytest.fixture
def from_tables(monkeypatch):
    """Whatever the size of a network, it runs from tables within."""

    def use(really=True):
        monkeypatch.setattr(sizes, "PART_LIMIT", 0 if really else 10**9)

    return use


@pytest.mark.parametrize("case", STILL)
def test_where_no_rate_follows_the_time_the_numbers_are_those_of_the_compiled_kernel(case, from_tables):
    network = Network.from_text(STILL[case])
    compiled = network.simulate(TIMES, 20, seed=0, method="direct")
    from_tables()
    assert network.simulate(TIMES, 20, seed=0, method="direct").equals(compiled)


@pytest.mark.parametrize("law", ["min(5, 1 / A)", "exp(-1 / A)", "floor(A / 0)"])
def test_what_does_not_follow_the_time_is_no_range(law, from_tables):
    network = Network.from_text(
        f"A = 0; A -> @@ A * (1 + sin(t)); -> B @@ max(0, min(9, {law})) * (1 + sin(t))"
    )
    compiled = network.simulate([0, 9], 300, seed=0)
    from_tables()
    runs = network.simulate([0, 9], 300, seed=1)
    assert {*runs.status.values} == {*compiled.status.values} <= {"finished", "absorbed"}
    assert stats.ks_2samp(runs.B[:, 1], compiled.B[:, 1]).pvalue > 1e-4


def test_a_trace_and_its_trajectory_come_from_one_kernel(monkeypatch):
    network = Network.from_text("A = 30; -> A @@ 10 * (1 + sin(t)); A -> B @ 0.3; k = 1; when A > 40: B = 0")
    without = len(sizes.source_of(plan(network)))
    assert len(sizes.source_of(plan(network), log=True)) > without
    monkeypatch.setattr(sizes, "EVENT_SOURCE_LIMIT", without)
    path = network.trace(20, trajectory=3, seed=5)
    places = np.searchsorted(path.time, TIMES, side="right") - 1
    np.testing.assert_array_equal(path.A[places], network.simulate(TIMES, 4, seed=5).A[3])


@pytest.mark.parametrize("method", ["direct", "sparse", "tau"])
def test_a_law_as_deep_as_may_be_has_room(method, from_tables):
    """The last of three arguments is computed while two numbers wait."""
    from_tables()
    law = "A"
    for i in range(140):
        law = f"if(A < {i}, {i}, {law})"
    runs = Network.from_text(f"A = 200; B = 1; A -> @@ {law}; B -> B + C @ 1").simulate(
        [1.0], 4, seed=0, method=method
    )
    assert (runs.status == "finished").all()
    assert (runs.A < 150).all()


@pytest.mark.parametrize("case", ["doses", "gene"])
def test_a_trace_is_that_of_the_compiled_kernel(case, from_tables):
    network = Network.from_text(STILL[case])
    compiled = network.trace(20, seed=0)
    from_tables()
    assert network.trace(20, seed=0).equals(compiled)


@pytest.mark.parametrize("case", MOVING)
def test_where_rates_follow_the_time_the_law_is_that_of_the_compiled_kernel(case, from_tables):
    """Kolmogorov and Smirnov's test at three times of four networks: a false alarm in 1,000 runs of all."""
    network = Network.from_text(MOVING[case])
    compiled = network.simulate(TIMES, 1000, seed=0)
    from_tables()
    runs = network.simulate(TIMES, 1000, seed=1)
    assert {*runs.status.values} == {*compiled.status.values}
    for place in (2, 5, 8):
        assert stats.ks_2samp(runs.A[:, place], compiled.A[:, place]).pvalue > 1e-3 / 12


def test_births_at_a_rate_of_time_are_a_poisson_process(from_tables):
    """∫ 10 (1 + sin t) dt over [0, 5] and [5, 12], and both are independent; a false alarm in 10,000."""
    from_tables()
    counts = Network.from_text("-> A @@ 10 * (1 + sin(t))").simulate([0, 5, 12], 4000, seed=3).A.values
    first, second = counts[:, 1], counts[:, 2] - counts[:, 1]
    for numbers, mean in ((first, 50 + 10 * (1 - np.cos(5))), (second, 70 + 10 * (np.cos(5) - np.cos(12)))):
        assert abs(numbers.mean() - mean) < 4.5 * np.sqrt(mean / 4000)
        assert abs(numbers.var() / mean - 1) < 4.5 * np.sqrt(2 / 4000)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / np.sqrt(4000)


@pytest.mark.parametrize("case", [*STILL, *MOVING])
def test_the_seed_alone_decides(case, from_tables, monkeypatch):
    from_tables()
    network = Network.from_text({**STILL, **MOVING}[case])
    runs = network.simulate(TIMES, 12, seed=5, threads=2, method="direct")
    assert network.simulate(TIMES, 5, seed=5, method="direct").equals(runs.isel(trajectory=slice(5)))
    monkeypatch.setattr(engine.Engine, "budget", 30)  # kernels return to Python all the time
    assert network.simulate(TIMES, 12, seed=5, threads=1, method="direct").equals(runs)
    path = network.trace(20, trajectory=7, seed=5)
    places = np.searchsorted(path.time, TIMES, side="right") - 1
    np.testing.assert_array_equal(
        path.A[places] if "A" in path else path.m[places], (runs.A if "A" in runs else runs.m)[7]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A = 5; A -> @@ A - 2.5", "is -0.5 at"),
        ("A = 5; B = 1; A -> @ 1; B -> @@ 1 / (A - 2) ** 2", "is inf at"),
        ("-> A @@ 3 - t", "is -"),
        ("-> A @@ 1 / sqrt(abs(t - 4))", "is inf at t = 4"),
        ("A = 1; -> A @ 1; at 3: A = 0.5", "an event set a count that is no whole number"),
        (
            "A = 1; k = 1; -> A @ abs(k); when A > 1: k = -1; when k > 0: k = -k; when k < 0: k = -k",
            "set one another off without end",
        ),
        ("A = 9007199254740990; A -> 2 A @@ 1", "is about to pass 2^53"),
        ("-> A @@ 5 + sin(t)", "stopped after max_events"),
    ],
)
def test_what_ends_a_trajectory_is_told_alike(text, reason, from_tables):
    network = Network.from_text(text)
    told = []
    for way in (False, True):
        from_tables(way)
        with pytest.warns(SimulationWarning) as caught:
            runs = network.simulate([0, 50], 3, seed=0, method="direct", max_events=40)
        told.append((str(caught[0].message), runs.status.values.tolist()))
        assert reason in told[-1][0]
    assert told[0][1] == told[1][1]


def test_nothing_more_can_happen(from_tables):
    from_tables()
    for text, status in (
        ("A = 3; A -> @ 1", "absorbed"),
        ("A = 3; A -> @@ A * (2 + sin(t))", "absorbed"),
        ("-> A @@ 1 + t", "finished"),
    ):
        assert (Network.from_text(text).simulate([100.0], 3, seed=0).status == status).all()

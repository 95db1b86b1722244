"""What is too deep or too long is refused with a word; what is too large for a compiler runs from tables."""

import numpy as np
import pytest

from partita.reactions import Network
from partita.reactions.kernels import sizes
from partita.reactions.kernels.direct import scalar_source
from partita.reactions.kernels.layout import plan
from partita.reactions.kernels.sizes import source_of
from partita.reactions.model.expression import NAME_LIMIT
from partita.reactions.simulation.engine import Runs
from partita.reactions.simulation.journal import Journal


def doses(number):
    return "A = 5; k = 1; A -> @ k; " + "; ".join(
        f"at t >= {i + 1}: A = A + {i}, k = k * 0.9" for i in range(number)
    )


def rewriting(number, different):
    rule = "r := " + " + ".join(f"A * {i}" for i in range(300))
    values = "; ".join(f"p{i} = 1" for i in range(number))
    return f"A = 5; A -> @ 1; {rule}; {values}; at 1: " + ", ".join(
        f"p{i} = r + {i * different}" for i in range(number)
    )


def chain(number, rate=1):
    return "; ".join(f"S{i} -> S{i + 1} @ {rate}" for i in range(number))


def birth(terms):
    """A constant rate that seems to follow the time, with mean 10 at 1."""
    return "-> A @@ 10 + 0 * (" + " + ".join(f"sin(t * {i})" for i in range(terms)) + ")"


# Mean of A, or of S1, at the time 1 or 10; a fair error of the mean of 200 trajectories.
LARGE = {
    "200 events": (doses(200), 1.0, "A", 5 * np.exp(-1), 0.15),
    "2000 events": (doses(2000), 1.0, "A", 5 * np.exp(-1), 0.15),
    "a long rule rewritten": (rewriting(100, 1), 1.5, "A", 5 * np.exp(-1.5), 0.15),
    "1 event and 300 reactions": (f"at 0.5: S0 = 100; {chain(300)}", 1.0, "S0", 100 * np.exp(-0.5), 1.0),
    "5000 reactions and an event": (f"at 0.5: S0 = 100; {chain(5000)}", 1.0, "S0", 100 * np.exp(-0.5), 1.0),
    "1000 reactions and 50 events": (
        "; ".join(f"at {(i + 1) / 100}: S0 = S0 + 1" for i in range(50)) + "; " + chain(1000),
        1.0,
        "S0",
        float(np.exp(-(1 - np.arange(1, 51) / 100)).sum()),
        0.8,
    ),
    "a rate that follows the time, and 300 reactions": (
        f"-> S0 @@ 20 * (1 + sin(3 * t)); {chain(300, 0)}",
        1.0,
        "S0",
        33.2666,
        1.4,
    ),
    "a long law of time": (birth(900), 1.0, "A", 10.0, 0.9),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_networks_run_from_tables(case):
    text, time, name, mean, error = LARGE[case]
    network = Network.from_text(text)
    assert source_of(plan(network)) is None
    runs = network.simulate([time], 200, seed=0, species=[name])
    assert {*runs.status.values} <= {"finished", "absorbed"}
    np.testing.assert_allclose(runs[name].mean(), mean, atol=4 * error)


def test_a_large_network_is_given_to_the_direct_method_all_the_same():
    network = Network.from_text("S0 = 100; " + chain(3000))
    np.testing.assert_allclose(
        network.simulate([1.0], 100, seed=0, method="direct", species=["S0"]).S0.mean(), 100 / np.e, atol=2
    )


def test_equal_values_of_an_event_are_computed_once():
    once, often = (len(scalar_source(plan(Network.from_text(rewriting(number, 0))))) for number in (1, 20))
    assert often - once < 20 * 400
    assert often < sizes.EVENT_SOURCE_LIMIT


def test_a_long_sum_is_compiled_and_right():
    terms = 1200
    runs = Network.from_text(
        "A = 2; A -> @@ A * (" + " + ".join(f"A / {i + 1}" for i in range(terms)) + ")"
    ).simulate([1e-4], 4, seed=0)
    assert (runs.status == "finished").all()
    assert float(np.sum(1 / np.arange(1, terms + 1))) > 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A -> @@ " + "(" * 10_000 + "A" + ")" * 10_000, "at most 150 levels deep"),
        ("A -> @@ " + "-" * 10_000 + "A", "at most 150 levels deep"),
        ("A -> @@ " + "A ** " * 10_000 + "A", "at most 150 levels deep"),
        ("A -> @@ " + "min(" * 10_000, "at most 150 levels deep"),
        ("A -> @@ " + "A + " * 60_000 + "A", "takes 2 or more arguments, got 60001"),
        ("A" * 1_000_000 + " -> @ 1", "at most 400000 characters"),
        (
            "A" * 70_000 + " -> @ 1",
            rf"a name must have at most {NAME_LIMIT} bytes, got 70000 characters, 'A+'…",
        ),
        ("é" * 128 + " -> @ 1", "a name must have at most 255 bytes, got 128 characters"),
        ("A -> @ k; k = 1e999", "'1e999' is too large a number"),
        ("A = 1e300; A -> @ 1", "initial count of 'A' must be a whole number"),
        ("A = " + "9" * 400 + "; A -> @ 1", "is too large a number"),
        ("99999999999 A -> @ 1", "want a whole number of a species"),
        ("k = 1; x := k; A -> @ " + "y" * 300, "'yyyy"),
        ("A -> @ 1\x1b[31m", r"unexpected character '\\x1b'"),
    ],
)
def test_absurd_texts_are_refused_in_a_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        Network.from_text(text)
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


def test_the_longest_name_is_saved_and_read(tmp_path):
    pytest.importorskip("h5netcdf")
    pytest.importorskip("zarr")
    name = "A" * NAME_LIMIT
    for suffix in (".nc", ".zarr"):
        with Network.from_text(f"{name} = 3; {name} -> @ 1").simulate(
            [0.0, 99.0], 2, seed=0, save=tmp_path / f"runs{suffix}"
        ) as runs:
            assert runs[name].values.tolist() == [[3, 0], [3, 0]]


@pytest.mark.parametrize("name", ["status", "time", "trajectory", "events", "end"])
def test_names_of_coordinates_are_refused_where_they_would_be_results(name):
    network = Network.from_text(f"{name} = 3; {name} -> A @ 1")
    with pytest.raises(ValueError, match=f"species must not be named .*, got '{name}'"):
        network.simulate([1.0], seed=0)
    assert network.simulate([99.0], seed=0, species=["A"]).A.item() == 3


def test_a_chunk_of_thousands_of_species_is_read_back(tmp_path):
    pytest.importorskip("h5netcdf")
    tables = {f"S{i}": np.full((2, 1), i) for i in range(3000)}
    journal = Journal(tmp_path / "runs.nc", {})
    journal.begin()
    journal.put(Runs(0, tables, np.ones(2, np.int8), np.zeros(2, np.int64), np.ones(2), []))
    found = journal.get(0)
    assert [*found.tables] == [*tables]
    assert found.tables["S2999"].tolist() == [[2999], [2999]]

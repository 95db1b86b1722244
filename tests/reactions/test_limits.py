"""What is too large, too deep or too long is refused with a word, before a compiler sees it."""

import numpy as np
import pytest

from partita.reactions import Network, sizes
from partita.reactions.engine import Engine, Runs
from partita.reactions.ensemble import request_of
from partita.reactions.expression import NAME_LIMIT
from partita.reactions.kernel import scalar_source
from partita.reactions.plan import plan
from partita.reactions.saving import Journal


def request(text, method="auto"):
    return request_of(Network.from_text(text), [1.0], None, None, 0, None, method, None)


def doses(number):
    return "A = 5; k = 1; A -> @ k; " + "; ".join(f"at t >= {i + 1}: A = A + {i}, k = k * 0.9" for i in range(number))


def rewriting(number, different):
    rule = "r := " + " + ".join(f"A * {i}" for i in range(300))
    values = "; ".join(f"p{i} = 1" for i in range(number))
    return f"A = 5; A -> @ 1; {rule}; {values}; at 1: " + ", ".join(f"p{i} = r + {i * different}" for i in range(number))


TOO_LARGE = {
    "200 events": (doses(200), "200 events is too large to be compiled, which events and rates that follow t need"),
    "2000 events": (doses(2000), r"parts, 20,000 are allowed, the most in 'at t >= 1: A = A \+ 0"),
    "a long rule rewritten": (rewriting(100, 1), "the most in 'at t >= 1: p0 = r"),
    "5000 reactions and an event": ("S0 = 5; at 1: S0 = 3; " + "; ".join(f"S{i} -> S{i + 1} @ 1" for i in range(5000)), "5,000 reactions"),
    "a long law of time": ("-> A @@ 999 + " + " + ".join(f"sin(t * {i})" for i in range(900)), "is too large to be compiled"),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_a_kernel_that_is_too_large_is_refused(case):
    text, message = TOO_LARGE[case]
    with pytest.raises(ValueError, match=message) as error:
        Engine(request(text)).scalar_kernel()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("reactions", [400, 3000])
def test_many_reactions_are_refused_by_the_direct_method_alone(reactions):
    text = "S0 = 5; " + "; ".join(f"S{i} + H -> S{i + 1} + H @ 1" for i in range(reactions)) + "; H = 1"
    with pytest.raises(ValueError, match="too large to be compiled for method 'direct': take method 'sparse'"):
        Engine(request(text, "direct")).scalar_kernel()
    assert Engine(request(text)).method == "sparse"


def test_equal_values_of_an_event_are_computed_once():
    once, often = (len(scalar_source(plan(Network.from_text(rewriting(number, 0))))) for number in (1, 20))
    assert often - once < 20 * 400
    assert often < sizes.EVENT_SOURCE_LIMIT


def test_a_long_sum_is_compiled_and_right():
    terms = 1200
    runs = Network.from_text("A = 2; A -> @@ A * (" + " + ".join(f"A / {i + 1}" for i in range(terms)) + ")").simulate([1e-4], 4, seed=0)
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
        ("A" * 70_000 + " -> @ 1", rf"a name must have at most {NAME_LIMIT} bytes, got 70000 characters, 'A+'…"),
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
        with Network.from_text(f"{name} = 3; {name} -> @ 1").simulate([0.0, 99.0], 2, seed=0, save=tmp_path / f"runs{suffix}") as runs:
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

"""`partita fit`: a table of observations to parameters."""

import gzip
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

from partita.cli import main
from partita.reactions import Network
from partita.reactions.commands.fit import read_observations

NETWORK = "k = 3; A -> B @ k; A = 5"


def partita(*arguments):
    """What a command line ends with: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return stop.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture
def decay(tmp_path):
    """Only B is seen, with gaps, and k is 1."""
    path = tmp_path / "decay.csv"
    times = np.linspace(0, 3, 7)
    cells = ["" if row == 3 else f"{5 * (1 - np.exp(-t)):.6f}" for row, t in enumerate(times)]
    path.write_text(
        "time,B\n" + "".join(f"{t},{cell}\n" for t, cell in zip(times, cells, strict=True)), "utf-8"
    )
    return path


def test_parameters_are_found(decay, tmp_path):
    out, plot = tmp_path / "fit.json", tmp_path / "fit.png"
    code, told, err = partita("fit", NETWORK, decay, "--starts", 1, "--out", out, "--plot", plot)
    assert (code, err) == (0, "")
    assert told.splitlines()[1].split()[:2] == ["k", "3"]
    found = json.loads(out.read_text("utf-8"))
    assert found["parameters"]["k"] == pytest.approx(1.0, rel=1e-4)
    assert Network.from_text(found["network"]) == Network.from_text(NETWORK)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_table_comes_in_the_order_of_the_network(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("\ufefft, B, A\r\n0, 1, 2\r\n\r\n1, , 3\r\n".encode())
    times, observed = read_observations(path, Network.from_text("A -> B @ 1; B -> C @ 1"))
    np.testing.assert_array_equal(times, [0, 1])
    np.testing.assert_array_equal(observed, [[2, 1, np.nan], [3, np.nan, np.nan]])


def test_a_table_may_be_packed_have_other_marks_and_missing_cells(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"t;A;B\n0;1;NA\n1;nan;2\n"))
    times, observed = read_observations(path, Network.from_text("A -> B @ 1"))
    np.testing.assert_array_equal(times, [0, 1])
    np.testing.assert_array_equal(observed, [[1, np.nan], [np.nan, 2]])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "is empty"),
        ("time,A\n0,1\n", "expected a line of names"),
        ("time,C\n0,1\n1,2\n", ": 'C' is no species"),
        ("time,A,A\n0,1,1\n1,2,2\n", "each name once"),
        ("time\n0\n1\n", "expected the time and then species"),
        ("time,A\n0,1\n1\n", ":3: expected 2 cells, got 1"),
        ("time,A\n0,1\n1,x\n", ":3: expected a finite number in column 'A', got 'x'"),
        ("time,A\n0,1\n0,2\n", ":3: expected rising times"),
        ("time,A\n0,inf\n1,2\n", ":2: expected a finite number"),
        ("time,A\n,1\n1,2\n", ":2: expected rising times"),
    ],
)
def test_a_broken_table_is_named(tmp_path, table, message):
    path = tmp_path / "table.csv"
    path.write_text(table, "utf-8")
    code, out, err = partita("fit", NETWORK, path)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("first", "options"),
    [
        (0.0, ()),
        (0.0, ("--exact-start",)),
        (0.5, ()),
        (1.0, ()),
        (1.0, ("--exact-start",)),
        (1.0, ("--stiff",)),
    ],
)
def test_initial_counts_hold_at_time_0(tmp_path, first, options):
    path, out = tmp_path / "late.csv", tmp_path / "fit.json"
    times = first + np.arange(5.0)
    path.write_text(
        "time,B\n" + "".join(f"{t},{float(5 * (1 - np.exp(-0.7 * t)))!r}\n" for t in times), "utf-8"
    )
    code, told, err = partita("fit", "k = 1; A -> B @ k; A = 5", path, "--starts", 1, "--out", out, *options)
    assert (code, err) == (0, "")
    assert json.loads(out.read_text("utf-8"))["parameters"]["k"] == pytest.approx(0.7, rel=1e-4)
    assert "converged: yes" in told
    assert "at time 0: A = 5, B = " in told


def test_what_was_seen_at_time_0_is_an_observation_like_the_others(tmp_path):
    path = tmp_path / "off.csv"
    path.write_text(
        "time,A\n" + "".join(f"{t},{float(5 * np.exp(-0.7 * t)) + 0.3 * (t == 0)!r}\n" for t in range(6)),
        "utf-8",
    )
    found = [
        partita("fit", "k = 1; A -> B @ k; A = 5", path, "--starts", 1, *options)[1]
        for options in ((), ("--exact-start",))
    ]
    assert "± " in found[0].splitlines()[-1]
    assert "at time 0: A = 5.3, B = 0" in found[1]


def test_times_before_0_are_refused(tmp_path):
    path = tmp_path / "early.csv"
    path.write_text("time,B\n-1,0\n1,2\n2,3\n", "utf-8")
    code, out, err = partita("fit", NETWORK, path)
    assert (code, out) == (1, "")
    assert "expected times from 0 on, where MODEL's initial counts hold, got -1" in err


@pytest.mark.parametrize(
    ("model", "rows", "options", "hint"),
    [
        (
            "k = 3; A -> B @ k; A = 5",
            [(1, 900), (2, 20), (3, 900)],
            (),
            "the fit is not to be relied on. It has not converged",
        ),
        (
            "k = 1; q = 1; A -> B @@ (k + q) * A; A = 5",
            [(1, 2.5), (2, 3.8), (3, 4.3)],
            (),
            "do not determine k, q: fit fewer with --free",
        ),
        (
            "k = 1; q = 1; A -> B @ k; B -> @ q; A = 5",
            [(1, 2.0), (2, 1.5)],
            (),
            "no more observations than parameters",
        ),
    ],
)
def test_a_doubtful_fit_is_told(tmp_path, model, rows, options, hint):
    path = tmp_path / "table.csv"
    path.write_text("time,B\n" + "".join(f"{t},{value}\n" for t, value in rows), "utf-8")
    code, _, err = partita("fit", model, path, "--starts", 2, *options)
    assert code == 0
    assert err.startswith("Warning: ")
    assert hint in err
    assert "step=" not in err


def test_a_solution_that_is_never_finite_names_the_option(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("time,A\n1,6\n2,7\n", "utf-8")
    code, _, err = partita(
        "fit", "k = 50; A -> 2 A @@ k * A^3; A = 5".replace("^", "**"), path, "--starts", 1
    )
    assert code == 1
    assert "finite from no start" in err or "not finite from any start" in err
    assert "--stiff" in err
    assert "rodas4" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((NETWORK, "--free", "q"), "'q' is none"), (("A -> B @ 1",), "MODEL has no parameter to fit")],
)
def test_what_cannot_be_fitted_is_named(decay, arguments, message):
    model, *options = arguments
    code, _, err = partita("fit", model, decay, *options)
    assert code == 2
    assert message in err


def test_it_runs_where_nobody_has_chosen_a_backend(decay, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | {
        "KERAS_HOME": str(tmp_path)
    }
    code = f"from partita.cli import main; main(['fit', {NETWORK!r}, {str(decay)!r}, '--starts', '1'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr

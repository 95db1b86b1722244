"""`partita simulate` from text, files and standard input to a table, a file and a picture."""

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import pytest
import xarray as xr

from partita.cli import main
from partita.reactions import Network, SimulationWarning
from partita.reactions.simulation.plot import PATHS, ROWS, draw

GENES = "-> m @ k; m -> m + n @ 2.5; m -> @ 1; n -> @ 1; k = 20"


def partita(*arguments, stdin=""):
    """What a command line ends with: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        pytest.raises(SystemExit) as stop,
    ):
        main([*map(str, arguments)])
    return stop.value.code or 0, out.getvalue(), err.getvalue()


def test_text_to_a_table_a_file_and_a_picture(tmp_path):
    out, plot = tmp_path / "runs.nc", tmp_path / "runs.png"
    call = [
        "simulate",
        GENES,
        "--until",
        10,
        "--points",
        5,
        "--trajectories",
        300,
        "--seed",
        1,
        "--out",
        out,
        "--plot",
        plot,
    ]
    code, told, err = partita(*call)
    assert (code, err) == (0, "")
    table, rest = told.splitlines()[:3], told.splitlines()[3:]
    assert [line.split()[0] for line in table] == ["species", "m", "n"]
    assert rest[0].startswith("300 trajectories to t = 10: 300 finished; ")
    assert rest[0].endswith("; seed 1")
    assert rest[1:] == [f"drawn: {plot}", f"written: {out}"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(out, engine="h5netcdf") as runs:
        xr.testing.assert_equal(runs.m, Network.from_text(GENES).simulate(runs.time.values, 300, seed=1).m)
        assert float(table[1].split()[1]) == pytest.approx(runs.m.isel(time=-1).mean().item(), rel=1e-5)
    assert partita(*call)[:2] == (0, told)  # what is there is taken


def test_a_file_or_standard_input_say_the_same(tmp_path):
    (tmp_path / "genes.txt").write_text(GENES.replace("; ", "\n"), "utf-8")
    options = [
        "--until",
        1,
        "--trajectories",
        20,
        "--seed",
        3,
        "--initial",
        "m=5",
        "--set",
        "k=1",
        "--species",
        "m",
    ]
    code, told, _ = partita("simulate", GENES, *options)
    assert code == 0
    assert re.match(r"species .*\nm {2}", told)
    assert "\nn " not in told
    assert partita("simulate", tmp_path / "genes.txt", *options) == (0, told, "")
    assert partita("simulate", "-", *options, stdin=GENES) == (0, told, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["nothing.txt", "--until", "1"],
            2,
            "MODEL must be the text of a network ('A -> B @ 1') or a file, and 'nothing.txt' is neither",
        ),
        (["A -> B @", "--until", "1"], 1, "line 1"),
        (["{}/odd.txt", "--until", "1"], 1, "odd.txt: line 2"),
        (["{}/bytes.txt", "--until", "1"], 1, "bytes.txt is not utf-8: byte 0"),
        (["{}/odd.xml", "--until", "1"], 1, "odd.xml: "),
        (["A -> B @ 1"], 2, "--until"),
        (["A -> B @ 1", "--until", "0"], 2, "--until"),
        (["A -> B @ 1", "--until", "1", "--out", "runs.csv"], 2, "expected a file that ends in .nc or .zarr"),
        (["A -> B @ 1", "--until", "1", "--plot", "{}/no/runs.png"], 2, "does not exist"),
        (["A -> B @ 1", "--until", "1", "--initial", "A"], 2, "want NAME=NUMBER, got 'A'"),
        (["A -> B @ 1", "--until", "1", "--initial", "A=1.5"], 2, "want NAME=NUMBER, got 'A=1.5'"),
        (
            ["A -> B @ 1", "--until", "1", "--initial", "C=1"],
            1,
            "initial must name species of the network, got 'C'",
        ),
        (
            ["A -> B @ 1", "--until", "1", "--set", "k=1"],
            1,
            "parameters must name parameters of the network (it has none), got 'k'",
        ),
        (["A -> B @ 1", "--until", "1", "--species", "C"], 1, "species must be"),
        (["A -> B @ 1", "--until", "1", "--trajectory", "5"], 2, "No such option"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, code, message):
    (tmp_path / "odd.txt").write_text("A -> B @ 1\nB -> -> C\n", "utf-8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "odd.xml").write_text("<sbml>", "utf-8")
    ended, out, err = partita("simulate", *(text.replace("{}", str(tmp_path)) for text in arguments))
    assert (ended, out) == (code, "")
    assert message in err
    assert err.startswith("partita: ")
    assert err.count("\n") == 1


def test_the_picture_shows_the_first_species_and_a_few_paths():
    text = "; ".join(f"S{i} -> @ 1; S{i} = 9" for i in range(ROWS + 1))
    figure = draw(Network.from_text(text).simulate([0, 1, 2], trajectories=PATHS + 2, seed=0))
    assert len(figure.axes) == 2 * ROWS
    assert len(figure.axes[0].lines) == PATHS + 1
    shares = [bar.get_width() for bar in figure.axes[1].patches]
    assert sum(shares) == pytest.approx(1)


def test_a_picture_needs_a_trajectory_that_ended():
    with pytest.warns(SimulationWarning, match="max_events = 1"):
        runs = Network.from_text("-> A @ 100").simulate([0, 1], trajectories=3, seed=0, max_events=1)
    with pytest.raises(ValueError, match="runs must hold a trajectory that came to its end"):
        draw(runs)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("A = 3; A -> @@ A - 1.5", [], "trajectory 0: the propensity of 'A -> @@ A - 1.5' is -0.5 at t = "),
        (
            "A = 3; A -> @@ 2",
            ["--trajectories", "1"],
            "trajectory 0: 'A -> @@ 2' would take 1 A where there are 0",
        ),
        ("-> A @ 100", ["--max-events", "5"], "trajectory 0: stopped after max_events = 5"),
        ("A = 9007199254740990; -> A @ 9", [], "trajectory 0: the count of 'A' is about to pass 2^53"),
        ("A = 1; A -> @ 1; at 1: A = -1", [], "trajectory 0: an event set a count that is no whole number"),
    ],
)
def test_no_trajectory_at_the_end_is_an_error_with_its_reason_first(model, options, reason, tmp_path):
    out = tmp_path / "runs.nc"
    code, told, err = partita(
        "simulate", model, "--until", 50, "--trajectories", 20, "--seed", 0, *options, "--out", out
    )
    assert (code, told) == (1, "")
    assert err.startswith(f"partita: {reason}")
    assert "; no trajectory came to t = 50 (" in err
    assert err.endswith(f"; what there is is in {out}\n")
    assert err.count("\n") == 1


def test_some_trajectories_at_the_end_are_a_table_and_a_warning():
    code, told, err = partita(
        "simulate",
        "A = 1; A -> B @ 1; A -> C @ 1; C -> @@ if(C > 0, -1, 0)",
        "--until",
        99,
        "--trajectories",
        40,
        "--seed",
        0,
    )
    assert code == 0
    assert re.match(
        r"partita: \d+ of 40 trajectories stopped early and are left out: trajectory \d+: the propensity of ",
        err,
    )
    assert "\nB " in told


def test_text_is_quoted_without_control_characters(tmp_path):
    (tmp_path / "odd.txt").write_text("A -> B @ 1\x1b[31m\n", "utf-8")
    for model in (tmp_path / "odd.txt", "no\x1b[2Jfile"):
        code, _, err = partita("simulate", model, "--until", 1)
        assert code in (1, 2)
        assert "\x1b" not in err
    code, _, err = partita("simulate", "x" * 100_000, "--until", 1)
    assert (code, len(err) < 1000) == (2, True)

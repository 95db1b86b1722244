"""The command line as a whole: quick where it can be, one line for whatever goes wrong."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import click
import pytest

import partita
from partita.cli import group as cli
from partita.tour import command as tour_command


@pytest.fixture
def run(capsys):
    """What a command line ends with: exit code, standard output, standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        return (stop.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def part(monkeypatch):
    """A part with a command `work`, which does what one asks."""

    def part(action):
        module = ModuleType("part")
        module.work = click.command("work")(click.argument("word")(action))
        monkeypatch.setitem(sys.modules, "part", module)
        monkeypatch.setitem(cli.PARTS, "work", ("part", "Work."))

    return part


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["tour", "--help"]])
def test_version_and_help_import_no_part(arguments):
    code = f"import sys\nfrom partita.cli import main\ntry: main({arguments})\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"keras", "numpy", "partita.crf", "matplotlib"}.isdisjoint(done.stdout.split())


def test_version(run):
    assert run("--version") == (0, f"partita {partita.__version__}\n", "")


def test_without_click_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    assert run("--version") == (2, "", "partita: the command line needs click: pip install 'partita[cli]'\n")


@pytest.mark.parametrize("arguments", [[], ["tag"]])
def test_a_group_alone_shows_what_it_holds(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Commands:" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--loud"], "No such option"),
        (["tga"], "No such command 'tga'"),
        (["tour", "--seed", "x"], "'x' is not a valid integer"),
        (["tour", "--only", "cfr"], "--only must name studies out of crf, flows"),
        (["tag", "train"], "Missing argument 'CORPUS'. (see partita tag train --help)"),
        (["tag", "train", "no.txt", "--scheme", "bmes", "--out", "m.keras"], "File 'no.txt' does not exist"),
    ],
)
def test_wrong_use_is_one_line(run, arguments, words):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("partita: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("corpus.txt:3: want\n  2 columns"), 1, "partita: corpus.txt:3: want 2 columns\n"),
        (
            PermissionError(13, "Permission denied", "out"),
            1,
            "partita: [Errno 13] Permission denied: 'out'\n",
        ),
        (ImportError("no backend"), 1, "partita: no backend\n"),
        (FloatingPointError("not finite at t = 3"), 1, "partita: not finite at t = 3\n"),
        (MemoryError(), 1, "partita: MemoryError\n"),
        (click.ClickException("no model"), 1, "partita: no model\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (ValueError("row 3: '\x1b[2J\x07\u202ebad'"), 1, "partita: row 3: '\\x1b[2J\\x07\\u202ebad'\n"),
        (
            TypeError("no len()"),
            70,
            "partita: internal error, please report it: TypeError: no len() (PARTITA_TRACEBACK=1 shows "
            "where it happened)\n",
        ),
    ],
)
def test_errors_are_one_line(run, part, error, code, said):
    def fail(word):
        raise error

    part(fail)
    assert run("work", "now") == (code, "", said)


def test_an_error_is_no_longer_than_a_screen_and_keeps_both_ends(run, part):
    def fail(word):
        raise ValueError("begins " + "x" * 100_000 + " ends")

    part(fail)
    _, _, err = run("work", "now")
    assert len(err) < 1300
    assert err.startswith("partita: begins xxx")
    assert err.endswith("xxx ends\n")


def test_a_fault_of_ours_shows_where_on_request(part, monkeypatch):
    def fail(word):
        raise KeyError("a")

    part(fail)
    monkeypatch.setenv("PARTITA_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main(["work", "now"])


def test_arguments_go_to_the_part(run, part):
    def say(word):
        click.echo(word)

    part(say)
    assert run("work", "now") == (0, "now\n", "")
    assert run("work", "--help")[:2] == (
        0,
        "Usage: partita work [OPTIONS] WORD\n\nOptions:\n  --help  Show this message and exit.\n",
    )
    assert run("work", "--hard") == (2, "", "partita: No such option '--hard'. (see partita work --help)\n")


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_warning_is_one_line(run, part):
    def doubt(word):
        warnings.warn("this may be\n  wrong", UserWarning, stacklevel=1)

    part(doubt)
    assert run("work", "now") == (0, "", "partita: this may be wrong\n")


@pytest.mark.parametrize(
    ("arguments", "handed_over"),
    [
        ([], (None, Path("tour"), 0)),
        (
            ["--only", "crf", "--only", "ode", "--out", "page", "--seed", "3"],
            (("crf", "ode"), Path("page"), 3),
        ),
    ],
)
def test_tour(run, monkeypatch, arguments, handed_over):
    asked = []
    monkeypatch.setattr(tour_command, "STUDIES", ("crf", "ode"))
    monkeypatch.setattr(
        tour_command, "run", lambda only, out, seed: asked.append((only, out, seed)) or out / "index.html"
    )
    assert run("tour", *arguments) == (0, f"The page is {handed_over[1] / 'index.html'}\n", "")
    assert asked == [handed_over]


def walk(command, path=()):
    """Every command with the words it is called by, the late ones as what they are."""
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from walk(command.resolve_command(context, [name])[1], (*path, name))


COMMANDS = dict(walk(cli.commands()))


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path) or "partita") for path in COMMANDS])
def test_every_help_has_an_example(run, path):
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    assert f"Example: partita {' '.join(path)}" in out


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in COMMANDS if path])
def test_wrong_use_of_every_command_is_one_line(run, path):
    code, out, err = run(*path, "--no-such-option")
    assert (code, out) == (2, "")
    assert err.startswith("partita: No such option '--no-such-option'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", cli.PARTS)
def test_what_is_said_of_a_part_without_it_is_true(name):
    held = sorted(getattr(COMMANDS[(name,)], "commands", ()))
    assert held == sorted(cli.INSIDE.get(name, ()))


@pytest.mark.parametrize(
    ("typed", "offered", "imports"),
    [
        ("partita ", {"doctor", "embed", "fit", "flow", "simulate", "tag", "tour"}, False),
        ("partita ta", {"tag"}, False),
        ("partita tag ", {"apply", "score", "train"}, False),
        ("partita flow s", {"sample", "score"}, False),
        ("partita tag apply --s", {"--separator"}, True),
        ("partita simulate --method ", {"auto", "direct", "sparse", "tau"}, False),
    ],
)
def test_completion(typed, offered, imports):
    """As bash asks for it.

    Keras, which takes seconds to load, is left alone for as long as its part is not needed.
    """
    environment = os.environ | {
        "_PARTITA_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    code = (
        "import sys\nfrom partita.cli import main\ntry: main([])\nfinally: print('keras' in sys.modules, "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert {line.rpartition(",")[2] for line in done.stdout.splitlines()} == offered
    assert done.stderr.splitlines()[-1] == str(imports)


def test_a_folder_is_no_file_to_write(run, tmp_path):
    (tmp_path / "runs.nc").mkdir()
    code, _, err = run("simulate", "A = 1; A -> @ 1", "--out", str(tmp_path / "runs.nc"))
    assert (code, "expected the name of a file, got the folder" in err) == (2, True), err

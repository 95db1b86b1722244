"""Tests of the folder of compiled kernels, damaged, planted or open to others.

The right numbers come out, and nothing in it is run.
"""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.compiler import CompileResult

from partita import kernels
from partita.reactions import Network, simulate
from partita.reactions.kernels import generated

TWICE = "from numba import njit\n\n@njit\ndef run(x):\n    return 2 * x\n"
FALSE = "from numba import njit\n\n@njit\ndef run(x):\n    return 0 * x - 1\n"
BY_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
NO_ROOT = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root can write everywhere")
POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no owners of files on Windows")
NOBODY = 65534


class Harm:
    """What a pickle of it would do."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of the cache that is used from now on."""
    monkeypatch.setenv("PARTITA_CACHE", str(tmp_path / "kernels"))
    forget()
    yield tmp_path / "kernels"
    monkeypatch.undo()
    forget()


def forget():
    """Be as a new process."""
    kernels.folder.cache_clear()
    generated.load.cache_clear()


def twice(x, source=TWICE):
    """The answer of a new process, and whether it compiled anything."""
    forget()
    function = generated.load(source)
    return function(x), sum(function.stats.cache_misses.values())


def harmful(home):
    """A pickle that is whole, in the form of an entry."""
    content = pickle.dumps(Harm(home.parent / "canary"))
    return hashlib.sha256(content).digest() + content


def give_away(path):
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def entry_of(home, source):
    before = {*home.glob("*")}
    twice(1, source)
    [path] = {*home.glob("*")} - before
    return path


def replace_by_link(path, home):
    other = home.parent / "elsewhere"
    other.write_bytes(harmful(home))
    path.unlink()
    path.symlink_to(other)


def replace_by_folder(path, home):
    path.unlink()
    path.mkdir()


def replace_by_pipe(path, home):
    path.unlink()
    os.mkfifo(path)


def write_for_all(path, home):
    path.write_bytes(harmful(home))
    path.chmod(0o666)


def give_harm_away(path, home):
    path.write_bytes(harmful(home))
    give_away(path)


def another_function(path, home):
    os.replace(entry_of(home, FALSE), path)


def leave_partial(path, home):
    path.with_name("tmpabc.partial").write_bytes(b"half")
    path.unlink()


def plant_source(path, home):
    """The files of Numba's own cache, which nothing reads."""
    name = "partita_kernel_" + hashlib.sha256(TWICE.encode()).hexdigest()[:24]
    (home / f"{name}.py").write_text(f"import os\nos.mkdir({str(home.parent / 'canary')!r})\n" + FALSE)
    (home / "__pycache__").mkdir()
    for suffix in ("nbi", "1.nbc"):
        (home / "__pycache__" / f"{name}.run-3.py311.{suffix}").write_bytes(
            pickle.dumps(Harm(home.parent / "canary"))
        )
    path.unlink()


DAMAGES = {
    "empty": lambda path, home: path.write_bytes(b""),
    "only a digest": lambda path, home: path.write_bytes(hashlib.sha256().digest()),
    "half of it": lambda path, home: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "the last byte missing": lambda path, home: path.write_bytes(path.read_bytes()[:-1]),
    "one byte more": lambda path, home: path.write_bytes(path.read_bytes() + b"\0"),
    "garbage": lambda path, home: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "a pickle alone": lambda path, home: path.write_bytes(pickle.dumps(Harm(home.parent / "canary"))),
    "another function": another_function,
    "a folder": replace_by_folder,
    "the leftover of a kill": leave_partial,
    "source of another": plant_source,
}
DAMAGES_OF_POSIX = {"a link": replace_by_link, "a pipe": replace_by_pipe, "open to others": write_for_all}


@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(damage, id=name) for name, damage in DAMAGES.items()),
        *(pytest.param(damage, id=name, marks=POSIX) for name, damage in DAMAGES_OF_POSIX.items()),
        pytest.param(give_harm_away, id="of another user", marks=BY_ROOT),
    ],
)
def test_an_entry_that_is_damaged_or_planted_is_compiled_anew(damage, home):
    assert twice(21) == (42, 1)
    assert twice(21) == (42, 0)
    [path] = home.iterdir()
    damage(path, home)
    assert twice(21) == (42, 1)
    assert twice(21) == (42, path.is_dir())
    assert not (home.parent / "canary").exists()


def test_the_harm_of_these_tests_would_be_done(home):
    """Else the tests above show nothing: an entry that is whole and ours is unpickled."""
    twice(21)
    [path] = home.iterdir()
    path.write_bytes(harmful(home))
    assert twice(21) == (42, 1)
    assert (home.parent / "canary").is_dir()


def make(home, mode=0o700):
    home.mkdir()
    home.chmod(mode)


def link(home):
    (home.parent / "real").mkdir(mode=0o700)
    home.symlink_to(home.parent / "real")


FOLDERS = {
    "none yet": (lambda home: None, True),
    "another umask": (lambda home: make(home, 0o755), True),
    "a link": (link, True),
    "a link to nowhere": (lambda home: home.symlink_to(home.parent / "nowhere"), False),
    "a file": (lambda home: home.write_text("text"), False),
}


@pytest.mark.parametrize(("prepare", "kept"), FOLDERS.values(), ids=FOLDERS)
def test_where_kernels_are_kept(prepare, kept, home):
    prepare(home)
    assert twice(21) == (42, 1)
    assert twice(21) == (42, not kept)
    assert not kept or len([*home.glob("*.kernel")]) == 1


@POSIX
def test_a_new_folder_is_for_its_owner_alone(home):
    twice(21)
    assert home.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in home.iterdir()] == [0o600]


def given_away(home):
    make(home)
    give_away(home)


def linked_by_another(home):
    link(home)
    give_away(home)


OPEN = {
    "to all": pytest.param(lambda home: make(home, 0o777), marks=POSIX),
    "to all, with a sticky bit": pytest.param(lambda home: make(home, 0o1777), marks=POSIX),
    "to a group": pytest.param(lambda home: make(home, 0o770), marks=POSIX),
    "of another user": pytest.param(given_away, marks=BY_ROOT),
    "linked by another user": pytest.param(linked_by_another, marks=BY_ROOT),
}


@pytest.mark.parametrize("prepare", OPEN.values(), ids=OPEN)
def test_a_folder_that_others_can_write_is_not_used(prepare, home):
    assert twice(21) == (42, 1)
    [path] = home.iterdir()
    path.unlink()
    home.rmdir()
    prepare(home)
    (home / path.name).write_bytes(harmful(home))
    forget()
    with pytest.warns(
        UserWarning,
        match=r"kernel cache .*kernels belongs to another user, or others can write it.*PARTITA_CACHE",
    ) as caught:
        answers = [function(21) for function in (generated.load(TWICE), generated.load(FALSE))]
    assert (answers, len(caught)) == ([42, -1], 1)
    assert [found.name for found in home.iterdir()] == [path.name]
    assert not (home.parent / "canary").exists()


@NO_ROOT
def test_a_folder_that_cannot_be_written_is_read(home):
    twice(21)
    home.chmod(0o500)
    assert twice(21) == (42, 0)
    assert twice(21, FALSE) == (-1, 1)
    home.chmod(0o700)


def test_without_a_home_nothing_is_kept_in_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("PARTITA_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kernels.platformdirs, "user_cache_dir", lambda *names, **options: "~/.cache/partita")
    assert twice(21) == (42, 1)
    assert not [*tmp_path.iterdir()]
    monkeypatch.undo()
    forget()


def test_a_full_disk_costs_the_entry_alone(home):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        assert twice(21) == (42, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*home.iterdir()]


@pytest.mark.parametrize("place", range(len(kernels._VERSIONS)))
def test_entries_of_another_version_are_left_alone(place, home, monkeypatch):
    assert twice(21) == (42, 1)
    versions = [*kernels._VERSIONS]
    versions[place] = "0.0"
    monkeypatch.setattr(kernels, "_VERSIONS", tuple(versions))
    assert twice(21) == (42, 1)
    assert len([*home.iterdir()]) == 2


def make_function(factor=2, options=None, inner=lambda x: x + 1, default=3, table=(1.0, 2.0)):
    inner = numba.njit(**(options or {}))(inner)
    numbers = np.array(table)
    space = {"inner": inner, "factor": factor, "numbers": numbers, "np": np}
    exec(f"def run(x, y={default}):\n    return np.abs(inner(x)) * factor + numbers[0] + y", space)
    return numba.njit(space["run"])


CHANGES = [
    {"factor": 3},
    {"factor": 2.0},
    {"options": {"fastmath": True}},
    {"inner": lambda x: x + 2},
    {"inner": lambda x: x - 1},
    {"default": 4},
    {"table": (1.0, 3.0)},
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_function_refers_to_counts(change):
    """Constants and functions of others that a function refers to count.

    Numba's own cache asks for the time of one source file, and overlooks them.
    """
    prints = [kernels.Cache(make_function(**given)).fingerprint for given in ({}, {}, change)]
    assert prints[0] == prints[1] != prints[2]


def test_keys_are_the_same_in_all_processes():
    code = (
        "import json; from partita.reactions.kernels import sparse, tau; from partita.kernels import Cache; "
        "print(json.dumps([Cache(work).fingerprint for work in (sparse.kernel(), tau.kernel())]))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len({*json.loads(found[0])}) == 2


def test_the_private_names_of_numba():
    function = numba.njit(lambda x: x)
    assert all(
        hasattr(function._cache, name)
        for name in ("load_overload", "save_overload", "cache_path", "flush", "enable", "disable")
    )
    function(1)
    [result] = function.overloads.values()
    context = result.target_context
    assert (
        CompileResult._rebuild(context, *pickle.loads(kernels.dumps(result._reduce()))).entry_point(21) == 21
    )


def test_without_the_private_names_nothing_is_kept(home, monkeypatch):
    monkeypatch.delattr(CompileResult, "_reduce")
    assert twice(21) == (42, 1)
    assert not home.exists()


def test_several_processes_at_once(home):
    code = (
        "from partita.reactions import Network, simulate; "
        "print(simulate(Network.from_text('A = 9; A -> @ 1'), [0.0, 0.5], 3, seed=1, "
        "threads=1).A.values.tolist())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = {process.communicate()[0] for process in started}
    assert len(said) == 1
    assert json.loads(said.pop())[0][0] == 9
    assert len([*home.glob("run-*.kernel")]) == 1
    assert not [*home.glob("*.partial")]


def test_a_kernel_cut_short_gives_the_right_counts(home):
    """A loop whose end is missing would never end."""
    network = Network.from_text("-> A @ 20; A -> @ 1")
    forget()
    right = simulate(network, [0.0, 1.0], 2, seed=3).A.values
    for path in home.iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    forget()
    np.testing.assert_array_equal(simulate(network, [0.0, 1.0], 2, seed=3).A.values, right)


@POSIX
def test_the_command_line_says_it_in_one_line(home, run):
    make(home, 0o777)
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = run("simulate", "A = 3; A -> @ 1", "--until", 1, "--trajectories", 2, "--seed", 0)
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("partita: the kernel cache ")
    assert "2 trajectories" in out
    assert not [*Path(home).iterdir()]

"""Where writing fails, or Ctrl-C is pressed, nothing stays but what says how to go on."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from partita import tour
from partita.contrast import WordVectors, corpus
from partita.files.whole import replacing
from partita.reactions import Network
from partita.reactions.simulation import journal

NET = Network.from_text("A = 9; A -> @ 1")
ERRORS = {
    "full disk": OSError(28, "No space left on device"),
    "library": RuntimeError("cannot write\n at all"),
    "Ctrl-C": KeyboardInterrupt(),
}


def simulate(path):
    return NET.simulate([0.0, 1.0], 6, seed=0, chunk=2, save=path)


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


def after(calls, function, error):
    """The function, which raises once it was called so often, having written half."""
    left = [calls]

    def call(path, *arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            Path(getattr(path, "name", path)).touch()
            raise error
        return function(path, *arguments, **options)

    return call


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_chunk_that_cannot_be_written(chunks, kind, suffix, tmp_path, monkeypatch):
    pytest.importorskip("h5netcdf" if suffix == ".nc" else "zarr")
    path, error = tmp_path / f"runs{suffix}", ERRORS[kind]
    with monkeypatch.context() as context:
        context.setattr(journal.np, "savez", after(chunks, np.savez, error))
        with pytest.raises(KeyboardInterrupt if kind == "Ctrl-C" else (type(error), OSError)) as raised:
            simulate(path)
    if not chunks:
        assert not [*tmp_path.iterdir()]
    else:
        names = ["README.txt", "call.json", *(f"{2 * first:010d}.npz" for first in range(chunks))]
        assert {found.name for found in (tmp_path / f"runs{suffix}.partial").iterdir()} == {*names}
        if kind != "Ctrl-C":
            assert str(raised.value).endswith(f"; the same call goes on from runs{suffix}.partial")
            assert "\n" not in str(raised.value)
    with simulate(path) as runs:
        np.testing.assert_array_equal(runs.A, NET.simulate([0.0, 1.0], 6, seed=0).A)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("kind", ERRORS)
def test_a_result_that_cannot_be_written(kind, suffix, tmp_path, monkeypatch):
    pytest.importorskip("h5netcdf" if suffix == ".nc" else "zarr")
    path = tmp_path / f"runs{suffix}"
    write = {".nc": "_write_netcdf", ".zarr": "_write_zarr"}[suffix]
    with monkeypatch.context() as context:
        context.setattr(journal, write, after(0, None, ERRORS[kind]))
        with pytest.raises(
            KeyboardInterrupt if kind == "Ctrl-C" else OSError,
            match=None if kind == "Ctrl-C" else "the same call goes on",
        ):
            simulate(path)
    folder = tmp_path / f"runs{suffix}.partial"
    assert [found.name for found in sorted(folder.iterdir())][-2:] == ["README.txt", "call.json"]
    assert len([*folder.iterdir()]) == 5
    assert "remove the folder" in (folder / "README.txt").read_text("utf-8")
    simulate(path).close()
    assert [*tmp_path.iterdir()] == [path]


def test_a_call_that_cannot_be_noted(tmp_path, monkeypatch):
    pytest.importorskip("h5netcdf")
    monkeypatch.setattr(journal.Path, "write_text", raising(ERRORS["full disk"]))
    with pytest.raises(OSError, match="No space"):
        simulate(tmp_path / "runs.nc")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ERRORS)
def test_replacing(kind, tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def write():
        with replacing(tmp_path / "a.txt") as beside:
            beside.write_text("half")
            raise ERRORS[kind]

    with pytest.raises(type(ERRORS[kind])):
        write()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.txt", "old")]


@pytest.mark.parametrize("kind", ERRORS)
def test_a_corpus_that_ends_early(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def sentences():
        yield ["a", "b"]
        raise ERRORS[kind]

    with pytest.raises(type(ERRORS[kind])):
        corpus.read(sentences())
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ERRORS)
def test_a_study_that_fails_leaves_no_empty_folder(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(tour, "STUDIES", ("sums",))
    monkeypatch.setattr(tour, "import_module", raising(ERRORS[kind]))
    with pytest.raises(type(ERRORS[kind])):
        tour.run(out=tmp_path / "page", report=lambda line: None)
    assert not [*tmp_path.iterdir()]


def test_a_device_that_is_full(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no such device")
    with pytest.raises(OSError, match="No space"):
        WordVectors(["a"], [[1.0, 2.0]]).save("/dev/full")
    assert Path("/dev/full").is_char_device()

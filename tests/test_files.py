"""Files are whole or as they were, whatever happens while they are written."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from partita import crf, tour, training
from partita.contrast import WordVectors
from partita.crf.command import _written
from partita.files.whole import replacing
from partita.reactions import Network
from partita.tour.page import Study, Words


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "page.html"
    with replacing(path) as beside:
        assert (beside.parent, beside.suffix) == (tmp_path, ".html")
        beside.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as beside:
        beside.write_text("new \ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_links_and_permissions_stay(tmp_path):
    path, link = tmp_path / "model.keras", tmp_path / "newest.keras"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    with replacing(link) as beside:
        beside.write_text("new")
    assert (link.is_symlink(), path.read_text(), path.stat().st_mode & 0o777) == (True, "new", 0o600)


def test_a_missing_folder_is_named_with_the_file(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"no/model.keras"),
        replacing(tmp_path / "no" / "model.keras"),
    ):
        pass


def test_a_device_is_written_to():
    with replacing(os.devnull) as beside:
        beside.write_text("anything")
    assert not Path(os.devnull).is_file()


def tagger(path, turn, run):
    model = crf.Tagger(keras.layers.Embedding(3000, 20), crf.CRF(3))
    x = np.ones((2, 3), "int32")
    model.compile("sgd")
    held_out = crf.HeldOut(crf.Batches([*x], shuffle=False), lambda found: turn, path=path)
    model.fit(x, np.zeros((2, 3), "int32"), verbose=0, callbacks=[held_out])


def saved(path, turn, run):
    model = crf.Tagger(
        keras.layers.Embedding(3000, 20, embeddings_initializer=keras.initializers.Constant(turn)), crf.CRF(3)
    )
    model(np.ones((2, 3), "int32"))
    model.save(path)


def best(path, turn, run):
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(300)])
    model.compile("sgd", "mse")
    model.fit(
        np.ones((2, 200)),
        np.ones((2, 300)),
        verbose=0,
        callbacks=[training.Evaluate(lambda model: turn, path=path)],
    )


def vectors(path, turn, run):
    WordVectors([f"w{turn}{i}" for i in range(3000)], np.ones((3000, 20))).save(path)


def page(path, turn, run):
    tour.run(out=path.parent, seed=turn, report=lambda line: None)


def picture(path, turn, run):
    code, _, err = run(
        "simulate", "A = 50; A -> @ 1", "--until", 5, "--trajectories", 2, "--seed", turn, "--plot", path
    )
    if code:
        assert err.count("\n") == 1
        raise OSError(err)


def cut(path, turn, run):
    with _written(path) as file:
        file.write(f"{turn} " * 20_000)


def drawn(path, turn, run):
    code, _, err = run(
        "flow", "sample", path.parent / "flow.keras", "--rows", 2000, "--seed", turn, "--out", path
    )
    if code:
        assert err.count("\n") == 1
        raise OSError(err)


@contextmanager
def full_disk():
    """Files of 20 kB at most stand for a full disk: writing on is an error of the system."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


WRITERS = [
    (tagger, "tagger.keras"),
    (saved, "saved.keras"),
    (best, "best.keras"),
    (vectors, "vectors.bin"),
    (vectors, "vectors.npz"),
    (page, "index.html"),
    (picture, "runs.png"),
    (cut, "cut.txt"),
    (drawn, "drawn.csv"),
    (drawn, "drawn.npz"),
]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_full_disk_leaves_the_old_file(write, name, run, tmp_path, monkeypatch):
    study = Study("Sums", [Words("2 + 2 is 4 " * 20_000)], {})
    monkeypatch.setattr(tour, "STUDIES", ("sums",))
    monkeypatch.setattr(
        tour, "import_module", {"partita.tour.sums": SimpleNamespace(study=lambda seed: study)}.__getitem__
    )
    if write is drawn:
        small_flow().save(tmp_path / "flow.keras")
    path = tmp_path / name
    write(path, 1, run)
    old, files = path.read_bytes(), {*tmp_path.iterdir()}
    assert len(old) > 20_000
    with full_disk(), pytest.raises(OSError, match=r"File too large|[Ee]rrno|written"):
        write(path, 2, run)
    assert (path.read_bytes(), {*tmp_path.iterdir()}) == (old, files)
    write(path, 2, run)
    assert path.read_bytes() != old


def small_flow():
    from partita import flows

    flow = flows.Flow(
        flows.Chain([flows.AdditiveCoupling(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))])
    )
    flow.build((None, 4))
    return flow


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_run_that_met_a_full_disk_goes_on(suffix, tmp_path):
    pytest.importorskip("h5netcdf" if suffix == ".nc" else "zarr")
    network, path = Network.from_text("A = 3000; A -> @ 1"), tmp_path / f"runs{suffix}"
    settings = {"trajectories": 400, "seed": 1, "chunk": 100, "save": path}
    times = np.arange(1, 300) / 100
    with full_disk(), pytest.raises(OSError, match=r"File too large|[Ee]rrno|written"):
        network.simulate(times, **settings)
    assert not path.exists()
    with network.simulate(times, **settings) as runs:
        np.testing.assert_array_equal(runs.A, network.simulate(times, 400, seed=1).A)
    assert [*tmp_path.iterdir()] == [path]

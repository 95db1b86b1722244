"""Tests of vectors, runs and tables made to do harm, or merely broken.

They end in a `ValueError` with a reason, and nothing in them is run.
"""

import gzip
import io
import json
import os
import pickle

import numpy as np
import pytest

from partita.contrast import WordVectors
from partita.flows.files import read_rows
from partita.reactions import Network, simulate
from partita.reactions.commands.fit import read_observations

NET = Network.from_text("A = 3; A -> @ 1")


class Harm:
    """What a pickle of it would do."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def canary(tmp_path):
    """A folder that a pickle would make, and none does."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def pickled(canary):
    return np.array([[Harm(canary)]], dtype=object)


def test_the_pickle_of_these_tests_would_run(tmp_path):
    pickle.loads(pickle.dumps(Harm(tmp_path / "made")))
    assert (tmp_path / "made").is_dir()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"2 x\na 1 2\nb 1 2\n",
        b"999999999999 999999999999\na 1\n",
        b"-1 2\n",
        b"1 2\n\xff\xfe 1 2\n",
        b"2 2\na 1 2\na 1 2\n",
        b"2 1\na 1\n",
        b"1 2\na 1 nonsense\n",
        b"2 2\na \0\0\0\0\0\0\0\0\nb \0\0",
        archive(words=np.frombuffer(b"a", np.uint8)),
        archive(words=np.frombuffer(b"a", np.uint8), vectors=np.ones((2, 2))),
        archive(words=np.frombuffer(b"\xff", np.uint8), vectors=np.ones((1, 2))),
        archive(words=np.frombuffer(b"a", np.uint8), vectors=np.ones((1, 2)))[:-40],
    ],
)
def test_vectors_that_are_none(content, tmp_path):
    (tmp_path / "vectors.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"vectors\.bin (holds no word vectors|is damaged)"):
        WordVectors.load(tmp_path / "vectors.bin")


def test_pickles_among_arrays(canary, tmp_path):
    bad = pickled(canary)
    (tmp_path / "vectors.npz").write_bytes(archive(words=np.frombuffer(b"a", np.uint8), vectors=bad))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        WordVectors.load(tmp_path / "vectors.npz")
    np.save(tmp_path / "rows.npy", bad)
    (tmp_path / "rows.npz").write_bytes(archive(x=bad))
    (tmp_path / "packed.npz.gz").write_bytes(gzip.compress(archive(x=bad)))
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Harm(canary)))
    for name in ("rows.npy", "rows.npz", "packed.npz.gz", "bare.npy"):
        with pytest.raises(ValueError, match="pickle"):
            read_rows(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"a,b\n1,2,3\n"),
        ("a.csv", b"a,b\n1,nan\n"),
        ("a.csv", b"a,b\n1,1e999\n"),
        ("a.csv", b"\xff\xfe\n"),
        ("a.csv", b'a,"b\n1,2\n'),
        ("a.csv", b"a,b\n1,=cmd()\n"),
        ("a.csv.gz", b"no gzip"),
        ("a.csv.gz", gzip.compress(b"1,2\n" * 99, mtime=0)[:-9]),
        ("a.npz", b"PK\3\4"),
        ("a.npz", archive(y=np.ones(2), z=np.ones(2))),
        ("a.npz", archive(x=np.ones((9, 9)))[:-50]),
        ("a.npy", b"\x93NUMPY\1\0"),
        (
            "a.npy",
            b"\x93NUMPY\1\0\x76\0"
            + b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 9)}".ljust(117)
            + b"\n",
        ),
        ("a.idx", b"\0\0\x08"),
        ("a.idx", b"\0\0\x08\3\x7f\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff"),
        ("a.idx", b"\0\0\x0d\1\xff\xff\xff\xff"),
        ("a.idx", b"\0\0\x0d\xff" + b"\0\0\0\1" * 255 + b"\0\0\0\0"),
    ],
)
def test_rows_that_are_none(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.partition(".")[0]):
        read_rows(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"t,A\n0,1\n",
        b"t,B\n0,1\n1,2\n",
        b"t,A\n0,1\n0,2\n",
        b"t,A\n0,inf\n1,1\n",
        b"\xff",
        b't,A\n0,"1\n1,2\n',
        b"t,A\n0,x\n1,1\n",
    ],
)
def test_observations_that_are_none(content, tmp_path):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.csv"):
        read_observations(tmp_path / "data.csv", NET)


def run(path):
    return simulate(NET, [0.0, 1.0], 4, seed=0, chunk=2, save=path)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_result_that_is_none_is_not_gone_on_with(suffix, tmp_path):
    if suffix == ".zarr":
        pytest.importorskip("zarr")
    else:
        pytest.importorskip("h5netcdf")
    path = tmp_path / f"runs{suffix}"
    run(path).close()
    if suffix == ".nc":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        (path / ".zattrs").write_text('{"call": "[1, 2"}')
    with pytest.raises(ValueError, match="cannot be gone on with"):
        run(path)


def test_a_pickle_in_a_zarr_store_is_not_run(canary, tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "runs.zarr"
    run(path).close()
    array = path / "A" / ".zarray"
    settings = json.loads(array.read_text())
    for place, value in {
        "filters": [{"id": "pickle", "protocol": 4}],
        "compressor": {"id": "pickle", "protocol": 4},
    }.items():
        array.write_text(json.dumps({**settings, "compressor": None, place: value}))
        for chunk in (path / "A").glob("[0-9]*"):
            chunk.write_bytes(pickle.dumps([Harm(canary), (1,), "|O"]))
        with pytest.raises(ValueError, match=r"runs\.zarr cannot be gone on with.*pickle"):
            run(path).load()


def test_a_chunk_that_is_a_pickle_is_not_run(canary, tmp_path, monkeypatch):
    pytest.importorskip("h5netcdf")
    from partita.reactions.simulation import journal

    path = tmp_path / "runs.nc"
    with monkeypatch.context() as context:
        context.setattr(journal.Journal, "finish", lambda *arguments: None)
        context.setattr(journal.Journal, "result", lambda journal: NET.simulate([0.0], 1, seed=0))
        run(path)
    chunk = tmp_path / "runs.nc.partial" / "0000000000.npz"
    assert chunk.exists()
    chunk.write_bytes(
        archive(
            table_A=pickled(canary),
            status=np.zeros(2, int),
            events=np.zeros(2),
            end=np.zeros(2),
            messages=np.array([]),
        )
    )
    with pytest.raises(ValueError, match="allow_pickle=False"):
        run(path)
    chunk.write_bytes(archive(x=np.ones(100))[:-60])
    with pytest.raises(ValueError, match="is damaged, remove it"):
        run(path)

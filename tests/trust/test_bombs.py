"""Tests of files of at most 2 MB that announce or unpack to gigabytes.

They are refused with a word, in little memory, and nothing is left behind.
"""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from partita import crf
from partita.contrast import WordVectors, corpus
from partita.files import bounded, loading
from partita.flows.files import read_rows

SMALL = 2_000_000  # bytes of a file
MOST = 2**30  # bytes of memory


def packed(piece, times=250, start=b""):
    """A gzip file that unpacks to `times` megabytes, made in no time: it has as many members."""
    return gzip.compress(start) * bool(start) + gzip.compress(piece * (2**20 // len(piece))) * times


def npy(shape, dtype="<f4", content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def archive(members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return file.getvalue()


ZEROS = bytes(40 * 2**20)


def npz(**arrays):
    return archive({f"{name}.npy": content for name, content in arrays.items()})


def many_zeros():
    return npy((len(ZEROS) // 4, 1), content=ZEROS)


ROWS = {
    "a.csv.gz": lambda: packed(b"0.000000000000,0.000000000000\n"),
    "line.csv.gz": lambda: packed(b"0,"),
    "names.csv.gz": lambda: packed(b"a,"),
    "blank.csv.gz": lambda: packed(b" " * 1000 + b"\n"),
    "a.idx.gz": lambda: packed(b"\0", start=b"\0\0\x08\2\0\0\xff\xff\0\0\x0f\xff"),
    "short.idx.gz": lambda: gzip.compress(b"\0\0\x0d\2\x7f\xff\xff\xff\0\0\0\2" + bytes(100)),
    "short.idx": lambda: b"\0\0\x0d\2\x7f\xff\xff\xff\0\0\0\2" + bytes(100),
    "a.npy": lambda: npy((10**9, 2), content=bytes(100)),
    "a.npy.gz": lambda: packed(b"\0", start=npy((10**8, 2))),
    "short.npy.gz": lambda: gzip.compress(npy((10**6, 2), content=bytes(100))),
    "empty.npy": lambda: npy((10**9, 2), "<U0"),
    "wide.npy": lambda: npy((2, 2), "<U500000000", bytes(100)),
    "a.npz": lambda: npz(x=many_zeros()),
    "short.npz": lambda: npz(x=npy((10**9, 2), content=bytes(100))),
    "members.npz": lambda: npz(**{f"x{number}": npy((1, 1), content=bytes(4)) for number in range(2000)}),
    "bzip2.npz": lambda: archive({"x.npy": npy((10, 2), content=bytes(80))}, zipfile.ZIP_BZIP2),
    "a.npz.gz": lambda: gzip.compress(npz(x=many_zeros())),
}
VECTORS = {
    "a.vec": lambda: b"999999999 300\na " + b"0 " * 300,
    "a.bin": lambda: b"999999999 300\na " + bytes(1200),
    "long.bin": lambda: b"1 999999999\na " + bytes(1200),
    "a.npz": lambda: npz(words=npy((1,), "|u1", b"a"), vectors=many_zeros()),
    "words.npz": lambda: npz(
        words=npy((8_000_000,), "|u1", bytes(8_000_000)), vectors=npy((2, 1), content=bytes(8))
    ),
    "contexts.npz": lambda: npz(
        words=npy((1,), "|u1", b"a"), vectors=npy((1, 2), content=bytes(8)), contexts=npy((10**9, 2))
    ),
}
COLUMNS = {
    "a.gz": lambda: packed(b"a B-X\n"),
    "sentences.gz": lambda: packed(b"abc B-X\n\n"),
    "line.gz": lambda: packed(b"a"),
    "many.gz": lambda: packed(b"a "),
}
TEXTS = {
    "a.gz": lambda: packed(b"some words that make up a line\n"),
    "line.gz": lambda: packed(b"a"),
    "word.txt": lambda: b"a" * SMALL,
    "blank.gz": lambda: packed(b" "),
}


def weights(shape, **options):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        written.create_dataset("layers/dense/vars/0", shape, "f4", **options)
    return file.getvalue()


CONFIG = {
    "class_name": "Sequential",
    "module": "keras",
    "registered_name": None,
    "config": {"name": "a", "layers": []},
}


def model(config=None, arrays=None, **more):
    found = {
        "metadata.json": b"{}",
        "config.json": config or json.dumps(CONFIG),
        "model.weights.h5": arrays or weights((2,)),
    }
    return archive(found | more)


def overlapping():
    """Two hundred members that share the bytes of one."""
    content = archive({"assets/a": bytes(2**20)})
    end = content.index(b"PK\5\6")
    entry = content[content.index(b"PK\1\2") : end]
    tail = bytearray(content[end:])
    tail[8:12] = (200).to_bytes(2, "little") * 2
    tail[12:16] = (200 * len(entry)).to_bytes(4, "little")
    return content[: content.index(b"PK\1\2")] + entry * 200 + bytes(tail)


def broken_asset():
    """An asset that is found to be damaged only once it is unpacked."""
    members = {
        "config.json": json.dumps(CONFIG),
        "metadata.json": b"{}",
        "model.weights.h5": weights((2,)),
        "assets/a": b"?" * 99,
    }
    content = bytearray(archive(members, zipfile.ZIP_STORED))
    content[content.index(b"?" * 99)] = 0
    return bytes(content)


MODELS = {
    "members.keras": lambda: archive({str(number): b"" for number in range(20_000)}, zipfile.ZIP_STORED),
    "assets.keras": lambda: model(**{"assets/a": ZEROS}),
    "config.keras": lambda: model(config=b"[" + b"[]," * 3_000_000 + b"[]]"),
    "metadata.keras": lambda: model(**{"metadata.json": b" " * 9_000_000 + b"{}"}),
    "weights.keras": lambda: model(arrays=weights((len(ZEROS) // 4,)) + ZEROS),
    "announced.keras": lambda: model(arrays=weights((10**9,), chunks=(1000,))),
    "compressed.keras": lambda: model(
        arrays=weights((10**9,), chunks=(2**20,), compression="gzip", fillvalue=1.0)
    ),
    "npz.keras": lambda: archive(
        {"config.json": json.dumps(CONFIG), "metadata.json": b"{}", "model.weights.npz": npz(x=many_zeros())}
    ),
    "overlapping.keras": overlapping,
    "broken.keras": broken_asset,
    "folder.keras": lambda: model(**{"assets/a": b"x", "assets/a/b": b"x"}),
    "name.keras": lambda: model(**{"assets/" + "a" * 300: b"x"}),
}
DOORS = {
    "rows": (read_rows, ROWS),
    "vectors": (WordVectors.load, VECTORS),
    "columns": (lambda path: [*crf.read_columns(path)], COLUMNS),
    "segmented": (lambda path: [*crf.read_segmented(path)], TEXTS),
    "corpus": (lambda path: corpus.read(str(path), 1), TEXTS),
    "models": (loading.read_model, MODELS),
}
TAKEN = {("segmented", "word.txt"), ("corpus", "word.txt")}  # a word of 2 MB is one


def most_memory():
    """Return the most memory that this process has held, in bytes.

    It is not what `ru_maxrss` says, which begins with the size of the parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def refusals(folder):
    """Print one line for each file.

    It tells the door, the name, how much memory the process has taken so far, and what was said.
    """
    for door, (read, makers) in DOORS.items():
        for name in makers:
            said = ""
            try:
                read(Path(folder, door, name))
            except ValueError as error:
                said = str(error)
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            print(json.dumps([door, name, most_memory(), said]), flush=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by Linux")
def test_bombs_are_refused_in_little_memory_and_leave_nothing(tmp_path):
    """All in one process, whose largest memory is seen after each file."""
    for door, (_, makers) in DOORS.items():
        (tmp_path / door).mkdir()
        for name, make in makers.items():
            content = make()
            assert len(content) <= SMALL, (door, name)
            (tmp_path / door / name).write_bytes(content)
    files = {*tmp_path.rglob("*")}
    (tmp_path / "tmp").mkdir()
    code = f"from tests.trust import test_bombs; test_bombs.refusals({str(tmp_path)!r})"
    environment = os.environ | {
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(door, name) for door, name, *_ in found] == [
        (door, name) for door, (_, makers) in DOORS.items() for name in makers
    ]
    for door, name, memory, said in found:
        assert memory < MOST, (door, name, memory, said)
        assert bool(said) is ((door, name) not in TAKEN), (door, name)
        assert not said or name in said, (door, name, said)
        assert len(said) < 600, (door, name, said)
    assert {*tmp_path.rglob("*")} - files == {tmp_path / "tmp"}


@pytest.mark.parametrize(
    ("read", "name", "make"),
    [
        (read_rows, "a.csv.gz", lambda: gzip.compress(b"0.0,1.0\n" * 10_000)),
        (read_rows, "a.npz", lambda: npz(x=npy((10_000, 2), content=bytes(80_000)))),
        (lambda path: [*crf.read_segmented(path)], "a.gz", lambda: gzip.compress(b"some words\n" * 10_000)),
        (lambda path: corpus.read(str(path), 1), "a.gz", lambda: gzip.compress(b"some words\n" * 10_000)),
    ],
)
def test_the_limit_can_be_set(read, name, make, tmp_path, monkeypatch):
    path = tmp_path / name
    path.write_bytes(make())
    read(path)
    monkeypatch.setenv("PARTITA_MAX_BYTES", "50000")
    with pytest.raises(
        ValueError,
        match=r"unpacks to more than 50,000 bytes: .* set the environment variable PARTITA_MAX_BYTES",
    ):
        read(path)
    assert bounded.limit(60_000) == 60_000  # what is not packed is as large as it is
    monkeypatch.setenv("PARTITA_MAX_BYTES", str(10**9))
    read(path)


@pytest.mark.parametrize("given", ["a lot", "-1", "1e9"])
def test_a_limit_that_is_none(given, monkeypatch):
    monkeypatch.setenv("PARTITA_MAX_BYTES", given)
    with pytest.raises(ValueError, match="PARTITA_MAX_BYTES must be a number of bytes, got"):
        bounded.limit(1)


def test_what_real_files_pack_to_is_read(tmp_path):
    """Real files that pack well are read.

    They are images of bytes with large dark parts, and a table of zeros and ones that unpacks to less than
    the floor.
    """
    images = np.zeros((2000, 28, 28), np.uint8)
    images[:, 8:20, 8:20] = np.random.default_rng(0).integers(0, 256, (2000, 12, 12))
    np.savez_compressed(tmp_path / "a.npz", x=images)
    assert read_rows(tmp_path / "a.npz").values.shape == (2000, 28, 28, 1)
    table = b"1,0,0\n0,1,0\n" * 50_000
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(table))
    assert read_rows(tmp_path / "a.csv.gz").values.shape == (100_000, 3)


@pytest.mark.parametrize("door", ["columns", "segmented", "rows", "table"])
def test_a_line_without_end(door, tmp_path, monkeypatch):
    """Of a file that is not packed: it is refused after some megabytes, however long it goes on."""
    from partita.reactions import Network
    from partita.reactions.commands.fit import read_observations

    monkeypatch.setattr(bounded, "LONGEST_LINE", 1000)
    read = {name: found for name, (found, _) in DOORS.items()} | {
        "table": lambda path: read_observations(path, Network.from_text("A -> @ 1"))
    }
    (tmp_path / "a.csv").write_bytes(b"t,A\n" + b"1," * 5000)
    with pytest.raises(
        ValueError, match=r"a\.csv.*(a line is longer than 1,000 characters|expected 2 columns)"
    ):
        read[door](tmp_path / "a.csv")

"""`partita flow`: tables and images in, a model, draws and scores out."""

import gzip

import numpy as np
import pytest

from partita import flows
from partita.flows import command
from partita.flows.files import read_rows


def idx(array):
    kind = {"uint8": 0x08, "float32": 0x0D}[array.dtype.name]
    head = bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_a_long_table_is_drawn_in_pieces(run, tmp_path, monkeypatch):
    flow = flows.nice(2, couplings=2, hidden=(4,), dequantize=None)
    flow.build((None, 2))
    flow.save(tmp_path / "m.keras")
    monkeypatch.setattr(command, "_PIECE", 20)
    code, out, _ = run("flow", "sample", tmp_path / "m.keras", "--rows", 25, "--seed", 3)
    rows = np.loadtxt(out.splitlines()[1:], delimiter=",")
    assert (code, rows.shape, len(np.unique(rows, axis=0))) == (0, (25, 2), 25)
    np.testing.assert_allclose(rows[:10], flow.sample(10, seed=3), rtol=1e-5)
    assert run("flow", "sample", tmp_path / "m.keras", "--rows", 25, "--seed", 3)[1] == out


def test_a_table(run, tmp_path):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(120, 3)) * [1, 20, 300] + [0, 5, 1000]
    data, model = tmp_path / "table.csv", tmp_path / "table.keras"
    np.savetxt(data, table, delimiter=",", header="a,b,c", comments="")
    code, out, err = run("flow", "fit", data, "--out", model, "--recipe", "real_nvp", "--epochs", 2)
    assert (code, out[:10]) == (0, "held out: ")
    assert err.count("epoch ") == 2
    code, out, _ = run("flow", "sample", model, "--rows", 4, "--seed", 1)
    assert (code, out.splitlines()[0]) == (0, "a,b,c")
    assert np.loadtxt(out.splitlines()[1:], delimiter=",").shape == (4, 3)
    np.savetxt(data, table[:, ::-1], delimiter=",", header="c,b,a", comments="")
    code, out, _ = run("flow", "score", model, data, "--lowest", 2, "--out", tmp_path / "scores.csv")
    assert code == 0
    assert out.startswith("120 rows: -")
    assert out.count("\nrow ") == 2
    scores = np.loadtxt(tmp_path / "scores.csv", skiprows=1)
    assert -16 < scores.mean() < -9  # about three normals: 3 · 1.42 + log(20 · 300) nats
    np.savetxt(data, table, delimiter=",", header="a,b,d", comments="")
    assert run("flow", "score", model, data)[::2] == (
        1,
        f"partita: {data} has no column 'c', which the model was fitted to\n",
    )


def test_images(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype="uint8")
    data, model, packed = (
        tmp_path / "images.npz",
        tmp_path / "images.keras",
        tmp_path / "images-idx3-ubyte.gz",
    )
    np.savez(data, images=images)
    packed.write_bytes(gzip.compress(idx(images)))
    np.testing.assert_array_equal(read_rows(data).values, read_rows(packed).values)
    code, _, _ = run("flow", "fit", packed, "--out", model, "--width", 8, "--epochs", 1)
    assert code == 0
    assert run("flow", "sample", model, "--rows", 4, "--out", tmp_path / "sheet.png")[0] == 0
    assert run("flow", "sample", model, "--rows", 4, "--out", tmp_path / "drawn.npz")[0] == 0
    drawn = read_rows(tmp_path / "drawn.npz")
    assert (drawn.values.shape, drawn.levels) == ((4, 4, 4, 1), 256)
    code, out, _ = run("flow", "score", model, data)
    assert code == 0
    assert "40 rows" in out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"a,b\n1,2\n3\n", ":3: expected 2 cells, got 1"),
        ("a.csv", b"a,b\n1,2\n\n3,nan\n", ":4: expected a finite number in column 'b', got 'nan'"),
        ("a.csv", b"1,2\n3,x\n", ":2: expected a finite number in column 2, got 'x'"),
        ("a.csv", b"1,2\n3,1e39\n", ":2: expected a number not beyond 3.4e+38 in column 2, got 1e+39"),
        ("a.idx", idx(np.array([[1, np.inf]], "float32")), ": expected finite numbers, none beyond 3.4e+38"),
        ("a.csv", b"a,a\n1,2\n", ":1: expected each name once"),
        ("a.csv", b"", ": is empty"),
        ("a.csv", b"a,b\n", ": has a line of names and no numbers"),
        ("a.npz", b"no archive", ": is no .npz file"),
        ("a.bin", b"anything at all", ": expected a table (.csv), NumPy arrays (.npz, .npy) or an idx file"),
        ("a.idx", idx(np.ones((2, 2), "uint8"))[:-1], ": expected 4 numbers of the shape (2, 2)"),
        ("a.csv", b"a,b\n1,2\n", "holds 1 rows: want more"),
        ("a.csv", b"a,b\n" + b"1,2\n" * 20, "deviation must be above 0, got 0.0 for feature 'a'"),
    ],
)
def test_bad_files_are_named(run, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    code, out, err = run("flow", "fit", tmp_path / name, "--out", tmp_path / "m.keras", "--epochs", 1)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("partita: ") == 1


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
def test_tables_come_with_any_mark(tmp_path, mark):
    (tmp_path / "a.txt").write_text(f"1.5{mark}2\n\n3{mark}4e1\n")
    rows = read_rows(tmp_path / "a.txt")
    assert rows.values.tolist() == [[1.5, 2.0], [3.0, 40.0]]
    assert (rows.names, rows.levels) == (None, None)


def test_what_is_no_model_is_named(run, tmp_path):
    (tmp_path / "m.keras").write_bytes(b"no model")
    code, _, err = run("flow", "sample", tmp_path / "m.keras")
    assert code == 1
    assert "is no model file that can be read" in err


@pytest.mark.parametrize("command", [[], ["fit"], ["sample"], ["score"]])
def test_every_help_has_an_example(run, command):
    code, out, err = run("flow", *command, "--help")
    assert (code, err) == (0, "")
    assert "Example: partita flow" in out

"""Rows of data out of files: tables with commas, NumPy's arrays, the idx files of MNIST.

file → (rows, features) with names, or images (rows, height, width, channels) from 0 to 1
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from partita.files.bounded import RATIO_OF_NUMBERS, arrays, limit, opened, read, read_array
from partita.files.tables import read_table
from partita.files.whole import reading

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 8  # NumPy takes 64, and images have 3
_LARGEST = float(np.finfo("float32").max)


class Rows(NamedTuple):
    """What a file holds.

    Args:
        values: `(rows, features)`, or images `(rows, height, width, channels)`; float32.
        names: Of the features, if the file has a line of them.
        levels: How many values a pixel can take, 256 for bytes; None for real numbers.
    """

    values: np.ndarray
    names: list[str] | None = None
    levels: int | None = None


def read_rows(path: str | Path) -> Rows:
    """The rows of a file `*.csv`, `*.tsv` or `*.txt`, `*.npz`, `*.npy` or idx, each also packed as `.gz`.

    Bytes become numbers from 0 to 1. Numbers in a table stand between commas, semicolons, tabs or spaces; a
    first line without numbers has the names. A packed file may unpack to 16 MiB or 10 times its size, arrays
    to 40 times; the environment variable PARTITA_MAX_BYTES sets another limit.

    Raises:
        ValueError: with file and line, or what the file holds and what was wanted.
    """
    path = Path(path)
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind in (".csv", ".tsv", ".txt"):
        return _read_table(path)
    if kind == ".npz":
        values = _read_npz(path)
    elif kind == ".npy":
        with reading(path), opened(path, RATIO_OF_NUMBERS) as file:
            values = read_array(file, _most(path))
    else:
        values = _read_idx(path)
    levels = 256 if values.dtype == np.uint8 else None
    if values.dtype.kind not in "fiu" or values.ndim < 2 or not len(values):
        raise ValueError(
            f"{path}: expected rows of numbers, got an array of {values.dtype} of the shape {values.shape}"
        )
    with np.errstate(all="ignore"):
        values = values.astype("float32")
        if levels:
            values /= 255
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: expected finite numbers, none beyond {_LARGEST:.2g}")
    return Rows(values[..., None] if values.ndim == 3 else values, None, levels)


def _most(path: Path) -> int:
    """How many bytes of numbers a file can hold."""
    size = os.path.getsize(path)
    return limit(size, RATIO_OF_NUMBERS) if path.suffix == ".gz" else size


def _read_npz(path: Path) -> np.ndarray:
    with reading(path), arrays(path) as found:
        names = [*found] if len(found) == 1 else [name for name in ("x", "images") if name in found]
        if not names:
            raise ValueError(
                f"holds {', '.join(found) or 'nothing'}, expected one array, or one named x or images"
            )
        return found[names[0]]


def _read_idx(path: Path) -> np.ndarray:
    with reading(path), opened(path, RATIO_OF_NUMBERS) as file:
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES or start[3] > _MOST_AXES:
            raise ValueError(
                "expected a table (.csv), NumPy arrays (.npz, .npy) or an idx file, and this is none of them"
            )
        dtype, axes = np.dtype(_IDX_TYPES[start[2]]), file.read(4 * start[3])
        shape = tuple(int.from_bytes(axes[place : place + 4]) for place in range(0, len(axes), 4))
        size = dtype.itemsize * math.prod(shape)
        content = read(file, min(size, _most(path)) + 1)
        if len(axes) != 4 * start[3] or len(content) != size:
            raise ValueError(
                f"expected {math.prod(shape)} numbers of the shape {shape}, and the file is not that long"
            )
        return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_table(path: Path) -> Rows:
    table = read_table(path)
    if not table.values.size:
        raise ValueError(f"{path}: has a line of names and no numbers")
    if (wrong := np.argwhere(np.abs(table.values) > _LARGEST)).size:
        row, place = wrong[0]
        raise ValueError(
            f"{path}:{table.lines[row]}: expected a number not beyond {_LARGEST:.2g} in "
            f"{table.column(place)}, got {table.values[row, place]:g}"
        )
    return Rows(table.values.astype("float32"), table.names)

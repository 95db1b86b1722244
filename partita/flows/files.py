"""Rows of data out of files: tables with commas, NumPy's arrays, the idx files of MNIST.

file → (rows, features) with names, or images (rows, height, width, channels) from 0 to 1
"""

import csv
import gzip
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from partita.files import reading

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

    Bytes become numbers from 0 to 1. Numbers in a table stand between commas, semicolons, tabs or spaces; a first line without numbers
    has the names.

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
        with reading(path), _opened(path) as file:
            values = np.load(file, allow_pickle=False)
    else:
        values = _read_idx(path)
    levels = 256 if values.dtype == np.uint8 else None
    if values.dtype.kind not in "fiu" or values.ndim < 2 or not len(values):
        raise ValueError(f"{path}: want rows of numbers, got an array of {values.dtype} of the shape {values.shape}")
    with np.errstate(all="ignore"):
        values = values.astype("float32") / (255 if levels else 1)
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: want finite numbers, none beyond {_LARGEST:.2g}")
    return Rows(values[..., None] if values.ndim == 3 else values, None, levels)


def _opened(path):
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _read_npz(path):
    with reading(path), _opened(path) as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("is no .npz file")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            names = arrays.files if len(arrays.files) == 1 else [name for name in ("x", "images") if name in arrays.files]
            if not names:
                raise ValueError(f"holds {', '.join(arrays.files) or 'nothing'}, want one array, or one named x or images")
            return arrays[names[0]]


def _read_idx(path):
    with reading(path), _opened(path) as file:
        data = file.read()
    if len(data) < 8 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise ValueError(f"{path}: want a table (.csv), NumPy arrays (.npz, .npy) or an idx file, and this is none of them")
    dtype, ndim = np.dtype(_IDX_TYPES[data[2]]), data[3]
    start = 4 + 4 * ndim
    shape = tuple(int.from_bytes(data[place : place + 4]) for place in range(4, start, 4))
    if len(data) != start + dtype.itemsize * math.prod(shape) or ndim > _MOST_AXES:
        raise ValueError(f"{path}: want {math.prod(shape)} numbers of the shape {shape}, and the file is not that long")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _read_table(path):
    with reading(path), _opened(path) as file:
        lines = file.read().decode("utf-8-sig").splitlines()
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not filled:
        raise ValueError(f"{path}: is empty")
    mark = max(",;\t", key=filled[0][1].count)
    if mark in filled[0][1]:
        with reading(path):
            cells = [[cell.strip() for cell in row] for row in csv.reader([line for _, line in filled], delimiter=mark)]
    else:
        cells = [line.split() for _, line in filled]
    names = None if any(map(_is_number, cells[0])) else cells[0]
    if names is not None and len({*names}) < len(names):
        raise ValueError(f"{path}:{filled[0][0]}: want each name once, got {', '.join(names)}")
    skipped = 0 if names is None else 1
    values = np.empty((len(cells) - skipped, len(cells[0])), "float32")
    if not len(values):
        raise ValueError(f"{path}: has a line of names and no numbers")
    for row, ((number, _), line) in enumerate(zip(filled[skipped:], cells[skipped:], strict=True)):
        if len(line) != values.shape[1]:
            raise ValueError(f"{path}:{number}: want {values.shape[1]} cells, got {len(line)}")
        for place, cell in enumerate(line):
            if not _is_number(cell) or not abs(float(cell)) <= _LARGEST:
                column = f"column {place + 1}" if names is None else f"column '{names[place]}'"
                raise ValueError(f"{path}:{number}: want a finite number in {column}, got '{cell}'")
        values[row] = [float(cell) for cell in line]
    return Rows(values, names)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True

"""Reading of files of unknown origin against a limit.

A few bytes that announce or unpack to gigabytes are refused before memory is taken.

    limit = max(16 MiB, 10 · size of the file),   40 times for arrays,   or PARTITA_MAX_BYTES

What lies unpacked in a file is compared with the file; the limit is for what is packed.
"""

import gzip
import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

FLOOR = 1 << 24  # bytes that any file may unpack to
RATIO = 10  # text is seldom packed to less than a tenth, and its words take many times as much memory
RATIO_OF_NUMBERS = 40  # arrays of masks and small counts are packed closer
LONGEST_LINE = 1 << 23  # characters or bytes
_PIECE = 1 << 20
MOST_MEMBERS = 1000
_SETTING = "PARTITA_MAX_BYTES"


def limit(size: int, ratio: int = RATIO) -> int:
    """Return how many bytes a file of `size` bytes may unpack to.

    That is 16 MiB or `ratio` times its size, or what PARTITA_MAX_BYTES says.

    It is never less than `size`: what is not packed is as large as it is.

    Raises:
        ValueError: if PARTITA_MAX_BYTES is not a whole number.

    Example:
        >>> limit(1000) == 2**24, limit(10_000_000)
        (True, 100000000)
    """
    given = os.environ.get(_SETTING)
    if not given:
        return max(FLOOR, ratio * size)
    if not given.strip().isdecimal():
        raise ValueError(f"{_SETTING} must be a number of bytes, got {given!r:.80}")
    return max(int(given), size)


def too_large(what: str, most: int) -> ValueError:
    """Return the error for something that unpacks to more than `most` bytes.

    Example:
        >>> raise too_large("it", 1000)
        Traceback (most recent call last):
        ValueError: it unpacks to more than 1,000 bytes: if the file is to be trusted, set the environment
        variable PARTITA_MAX_BYTES
    """
    return ValueError(
        f"{what} unpacks to more than {most:,} bytes: if the file is to be trusted, set the environment "
        f"variable {_SETTING}"
    )


@contextmanager
def opened(path: str | os.PathLike[str], ratio: int = RATIO) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes; one that ends in `.gz` is unpacked, up to its `limit`.

    Raises:
        ValueError: as it is read, if it unpacks to more.
        OSError: if it cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with gzip.open(f"{folder}/zeros.gz", "wb") as file:
        ...         _ = file.write(bytes(1000))
        ...     with opened(f"{folder}/zeros.gz") as file:
        ...         len(file.read())
        1000
    """
    if not os.fspath(path).endswith(".gz"):
        with open(path, "rb") as file:
            yield file
        return
    with (
        gzip.open(path, "rb") as packed,
        io.BufferedReader(_Limited(packed, limit(os.path.getsize(path), ratio)), _PIECE) as file,
    ):
        yield file


class _Limited(io.RawIOBase):
    """What another file unpacks to, as a stream that raises `ValueError` past its limit."""

    def __init__(self, packed: Any, most: int):
        self.packed, self.most, self.done = packed, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.packed.read(len(buffer))
        self.done += len(content)
        if self.done > self.most:
            raise too_large("it", self.most)
        buffer[: len(content)] = content
        return len(content)


def lines(file: Any) -> Iterator[Any]:
    r"""Yield the lines of an open file, bytes or text.

    Raises:
        ValueError: if a line is longer than 8 Mi characters.

    Example:
        >>> [*lines(io.BytesIO(b"a\nb"))]
        [b'a\n', b'b']
    """
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line is longer than {LONGEST_LINE:,} characters")
        yield line


def read(file: IO[bytes], size: int) -> bytearray:
    """Read `size` bytes, or what there is, taking memory as they come.

    Example:
        >>> len(read(io.BytesIO(b"abc"), 10**12))
        3
    """
    content = bytearray()
    while len(content) < size and (piece := file.read(min(_PIECE, size - len(content)))):
        content += piece
    return content


def read_array(file: IO[bytes], most: int) -> np.ndarray:
    """Read an array in NumPy's format `.npy`.

    Args:
        file: Open for reading bytes.
        most: How many bytes its numbers may take.

    Raises:
        ValueError: if it announces more than `most` bytes, or more than there are, or holds pickled objects.

    Example:
        >>> file = io.BytesIO()
        >>> np.save(file, [1, 2, 3])
        >>> _ = file.seek(0)
        >>> read_array(file, 100)
        array([1, 2, 3])
    """
    shape, fortran, dtype = _header(file)
    size = math.prod(shape) * dtype.itemsize
    if size > most:
        raise ValueError(
            f"its header announces {size:,} bytes of numbers of the shape {_shown(shape)}, expected at most "
            f"{most:,}"
        )
    content = read(file, size)
    if len(content) < size:
        raise ValueError(
            f"its header announces {size:,} bytes of numbers of the shape {_shown(shape)}, got "
            f"{len(content):,}"
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        raise ValueError("is no NumPy array in the format .npy (pickles are not read)") from None
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"is in the format .npy {version[0]}.{version[1]}, expected 1.0 or 2.0")
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(
            "holds Python objects, which are not unpickled (allow_pickle=False), expected numbers"
        )
    if any(length < 0 for length in shape) or not dtype.itemsize:
        raise ValueError(f"holds an array of {dtype!s:.80} of the shape {_shown(shape)}, expected numbers")
    return shape, fortran, dtype


def _shown(shape: tuple[int, ...]) -> str:
    return f"{shape!s:.80}"


@contextmanager
def arrays(
    path: str | os.PathLike[str], most_members: int = MOST_MEMBERS
) -> Iterator[Mapping[str, np.ndarray]]:
    """Open an archive `.npz`, or one packed once more as `.npz.gz`, and yield its arrays by name.

    Each array is read when it is asked for.

    Args:
        path: The file.
        most_members: How many arrays there may be.

    Raises:
        ValueError: if it is no such archive, holds more arrays, or unpacks to more than its limit.
        OSError: if it cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", x=[1, 2])
        ...     with arrays(f"{folder}/a.npz") as found:
        ...         [*found], found["x"]
        (['x'], array([1, 2]))
    """
    most = limit(os.path.getsize(path), RATIO_OF_NUMBERS)
    with opened(path, RATIO_OF_NUMBERS) as file:
        seekable = file if file.seekable() else io.BytesIO(read(file, most + 1))
        if not zipfile.is_zipfile(seekable):
            raise ValueError("is no .npz file")
        seekable.seek(0)
        with zipfile.ZipFile(seekable) as archive:
            check_members(archive, most, most_members)
            yield _Arrays(archive, most)


class _Arrays(Mapping[str, np.ndarray]):
    def __init__(self, archive: zipfile.ZipFile, most: int):
        self.archive, self.most = archive, most
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, name: str) -> np.ndarray:
        info = self.members[name]
        with self.archive.open(info) as member:
            return read_array(member, min(self.most, info.file_size))


def check_members(archive: zipfile.ZipFile, most: int, most_members: int = MOST_MEMBERS) -> None:
    """Raise an error if an archive holds too many files, or too many bytes when unpacked.

    By its directory it may hold `most_members` files, and unpack to `most` bytes.

    Raises:
        ValueError: if so, or if a file is packed by something else than deflate.

    Example:
        >>> with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        ...     archive.writestr("zeros", bytes(5000))
        ...     check_members(archive, 1000)
        Traceback (most recent call last):
        ValueError: it unpacks to more than 1,000 bytes: ...
    """
    members = archive.infolist()
    if len(members) > most_members:
        raise ValueError(f"it holds {len(members):,} files, expected at most {most_members:,}")
    if sum(info.file_size for info in members) > most:
        raise too_large("it", most)
    for info in members:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"it holds a file packed by method {info.compress_type}, expected deflate")

"""Model files in: the model, or one line that says why not.

Keras's safe mode holds: nothing in a file is run, no Lambda, no pickle, no class or function but Keras's own
and registered ones. Before Keras sees a file, `check_archive` refuses what would take memory or disk out of
proportion to its size.
"""

import io
import os
import warnings
import zipfile
from tempfile import TemporaryDirectory
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras

from partita.files.bounded import check_members, limit, too_large

_LONGEST = 300  # characters of a reason: some hold the whole config
_JSON = 1 << 22  # bytes of a config that may be packed; lists of lists take a hundred times as much memory


def read_model(path: str | os.PathLike[str], *, compile: bool = False, **settings: Any) -> keras.Model:
    """Return the model in a `.keras` file, by default not compiled.

    `settings` are those of `keras.saving.load_model`.

    Raises:
        ValueError: with the file and the reason, if it cannot be read.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile(suffix=".keras") as file:
        ...     read_model(file.name)
        Traceback (most recent call last):
        ValueError: ....keras is no model file that can be read: ...
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is an error further on
            check_archive(path)
            return keras.saving.load_model(path, compile=compile, **settings)
    except Exception as error:  # a file of another kind may fail anywhere in Keras
        raise ValueError(f"{os.fspath(path)} is no model file that can be read: {_reason(error)}") from error


def check_archive(path: str | os.PathLike[str]) -> None:
    """Raise an error if a `.keras` file would take too much memory or disk, or leave files behind.

    Too much is what is out of proportion to its size.

    What its members unpack to, and what the arrays in its weights announce, is compared with
    `partita.files.bounded.limit`. Keras unpacks assets into a temporary folder and leaves it where one
    cannot be written: so they are unpacked here first.

    Raises:
        ValueError: if it holds too many members, or too much, or is no file.
        zipfile.BadZipFile: if it is no whole zip archive.
        OSError: if it cannot be read, or an asset cannot be written.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile(suffix=".keras") as file:
        ...     with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        ...         archive.writestr("assets/zeros", bytes(2**25))
        ...     check_archive(file.name)
        Traceback (most recent call last):
        ValueError: it unpacks to more than 16,777,216 bytes: ...
    """
    check_is_file(path)
    most = limit(os.path.getsize(path))
    with zipfile.ZipFile(path) as archive:
        check_members(archive, most)
        for info in archive.infolist():
            if info.filename.endswith(".json") and info.file_size > max(_JSON, info.compress_size):
                raise ValueError(
                    f"{info.filename} unpacks to {info.file_size:,} bytes, expected at most {_JSON:,}"
                )
            if info.filename.endswith(".npz"):
                raise ValueError(f"it holds weights as {info.filename}, expected model.weights.h5")
            if info.filename.endswith(".h5"):
                with h5py.File(io.BytesIO(archive.read(info)), "r") as weights:
                    _check_arrays(weights, most)
        if len(archive.infolist()) > 3:  # config, metadata, weights
            with TemporaryDirectory(prefix="partita-") as folder:
                archive.extractall(folder)


def check_is_file(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError if there is a folder or a device, which may never end, where a file should be.

    Example:
        >>> check_is_file("/")
        Traceback (most recent call last):
        ValueError: / is a folder or a device, expected a file
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{os.fspath(path)} is a folder or a device, expected a file")


def _check_arrays(weights: h5py.File, most: int) -> None:
    announced = 0

    def add(name: str, item: object) -> None:
        nonlocal announced
        if isinstance(item, h5py.Dataset):
            announced += (item.size or 0) * item.dtype.itemsize
            if announced > most:
                raise too_large("what its arrays announce", most)

    weights.visititems(add)


def _reason(error: Exception) -> str:
    """What was wrong in the innermost part: around it Keras quotes the config of each part that holds it."""
    words = " ".join(str(error).rpartition("Exception encountered: ")[2].split()) or type(error).__name__
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"

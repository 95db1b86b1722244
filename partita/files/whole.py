"""Files out, whole or as they were; files in, or an error that names them."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that atomically replaces `path` on success.

    It is a name beside `path`, of the same ending, and takes its place when the block ends well.

    An error, a kill or a full disk on the way leaves what was at `path`. What is no regular file, a device
    say, is itself given; a link stays one, and what it leads to is replaced; permissions stay.

    Raises:
        FileNotFoundError: if there is no such folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.txt")
        ...     with replacing(path) as beside:
        ...         _ = beside.write_text("whole")
        ...     [found.name for found in Path(folder).iterdir()]
        ['a.txt']
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        yield path
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    path = Path(os.path.realpath(path))
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Turn any error of a damaged file into a `ValueError` that begins with `what`.

    `what` may be the file's path. The errors are whatever NumPy, gzip or zipfile make of the damage.

    Example:
        >>> with reading("a.txt"):
        ...     raise EOFError("ends early")
        Traceback (most recent call last):
        ValueError: a.txt: ends early
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:
        # NumPy's header is Python that is tokenised, zip files have offsets: there is no list of what they
        # raise.
        raise ValueError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error

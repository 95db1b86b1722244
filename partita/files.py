"""Files that are whole or as they were: write beside, then rename."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write: a name beside `path`, of the same ending, that takes its place when the block ends well.

    An error, a kill or a full disk on the way leaves what was at `path`. What is no regular file, a device say, is itself given.

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
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

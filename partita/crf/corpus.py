"""Text files in, sentences out, one at a time: a file of any size passes through in little memory."""

import gzip
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from partita.bounded import lines, opened

Source = str | os.PathLike[str] | Iterable[str] | Iterable[bytes]  # an open file is its lines
LONGEST_SENTENCE = 2**20  # lines
_COLUMNS = re.compile(r"[^ \t]+")


class CorpusError(ValueError):
    """Text that cannot be read; the message begins with file and line.

    Example:
        >>> list(read_columns(["in IN B-PP", "the DT"]))
        Traceback (most recent call last):
        partita.crf.corpus.CorpusError: <stream>:2: want 3 columns, got 2: the DT
    """


def read_columns(source: Source, min_columns: int = 1, check: Callable[[str], object] | None = None) -> Iterator[list[tuple[str, ...]]]:
    r"""Read the sentences of a CoNLL file: one token a line, columns parted by spaces or tabs, a blank line between sentences.

    Args:
        source: Path, `"-"` for standard input, or lines such as an open file's. Utf-8, with or without byte order mark; `.gz`
            is unpacked. Lines end in LF or CRLF and in nothing else.
        min_columns: Number of columns the first line must have at least; the others must have as many as the first.
        check: Called with the last column of every line; a `ValueError` it raises becomes a `CorpusError`.

    Yields:
        The rows of a sentence, a tuple of columns each.

    Raises:
        CorpusError: if a line misses a column or has one too many, fails the check or is not utf-8, or no line holds text.

    Example:
        >>> list(read_columns(["Confidence NN B-NP", "in IN B-PP", "", "Rockwell NNP B-NP"]))
        [[('Confidence', 'NN', 'B-NP'), ('in', 'IN', 'B-PP')], [('Rockwell', 'NNP', 'B-NP')]]
    """
    rows: list[tuple[str, ...]] = []
    known: dict[str, str] = {}  # words and tags come again and again: each is kept once
    width = None
    for place, columns in _lines(source, _COLUMNS.findall):
        row = tuple([known.setdefault(column, column) for column in columns])
        if row:
            width = width or max(len(row), min_columns)
            if len(row) != width:
                raise CorpusError(f"{place}: want {width} columns, got {len(row)}: {' '.join(row)}")
            if check:
                try:
                    check(row[-1])
                except ValueError as error:
                    raise CorpusError(f"{place}: {error}") from error
            rows.append(row)
            if len(rows) > LONGEST_SENTENCE:
                raise CorpusError(f"{place}: a sentence has more than {LONGEST_SENTENCE:,} lines: expected blank lines between sentences")
        elif rows:
            yield rows
            rows = []
            if len(known) > LONGEST_SENTENCE:
                known.clear()
    if rows:
        yield rows


def read_segmented(source: Source) -> Iterator[list[str]]:
    r"""Read segmented text: one sentence a line, words parted by white space, full-width spaces included.

    Args:
        source: As in `read_columns`.

    Yields:
        The words of each line, none for a blank line: as many lists as lines.

    Raises:
        CorpusError: if a line is not utf-8, or no line holds text.

    Example:
        >>> list(read_segmented(["共同  创造\u3000美好", "", "新  世纪"]))
        [['共同', '创造', '美好'], [], ['新', '世纪']]
    """
    for _, words in _lines(source, str.split):
        yield [*words]  # a list of `split` has room for twelve


def _lines(source: Source, split: Callable[[str], list[str]]) -> Iterator[tuple[str, list[str]]]:
    """The parts of each line, and before them `file:number`."""
    file_of: AbstractContextManager[Any]
    if source == "-":
        file_of = nullcontext(getattr(sys.stdin, "buffer", sys.stdin))
    else:
        file_of = opened(source) if isinstance(source, str | os.PathLike) else nullcontext(source)
    number, empty = 0, True
    with file_of as file:
        is_path = isinstance(source, str | os.PathLike) and source != "-"
        name = os.fspath(source) if is_path else getattr(file, "name", "<stdin>" if source == "-" else "<stream>")  # type: ignore[arg-type]
        for number, line in enumerate(_bounded(name, lines(file) if hasattr(file, "readline") else file), 1):
            text = _decode(line, f"{name}:{number}") if isinstance(line, bytes) else line
            parts = split((text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n"))
            empty = empty and not parts
            yield f"{name}:{number}", parts
    if empty:
        raise CorpusError(f"{name}:{number or 1}: no line holds text")


def _bounded(name: str, read: Iterable[Any]) -> Iterator[Any]:
    """The same lines; a file that unpacks to too much, or a line without end, is a `CorpusError`."""
    number = 0
    try:
        for line in read:
            number += 1
            yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(f"{name}:{number + 1}: broken gzip data: {error}") from error
    except ValueError as error:
        raise CorpusError(f"{name}:{number + 1}: {error}") from error


def _decode(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{place}: want utf-8, got byte {line[error.start]:#04x} after {error.start} bytes") from error

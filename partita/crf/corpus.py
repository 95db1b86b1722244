"""Text files in, sentences out, one at a time: a file of any size passes through in little memory."""

import gzip
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from partita.files.bounded import lines, opened
from partita.quoting import shown

Source = str | os.PathLike[str] | Iterable[str] | Iterable[bytes]  # an open file is its lines
LONGEST_SENTENCE = 2**20  # lines
_COLUMNS = re.compile(r"[^ \t]+")
_SEPARATOR = re.compile("[,;|]")  # of a CSV file
_TAG = re.compile(r"O|[BIESMLU]-\S+|[bmesBIEMS]")  # of any scheme
_ENOUGH = 20  # lines that tell what a file is


class CorpusError(ValueError):
    """Text that cannot be read; the message begins with file and line.

    Example:
        >>> list(read_columns(["in IN B-PP", "the DT"]))
        Traceback (most recent call last):
        partita.crf.corpus.CorpusError: <stream>:2: expected 3 columns, got 2: the DT
    """


def read_columns(
    source: Source, min_columns: int = 1, check: Callable[[str], object] | None = None
) -> Iterator[list[tuple[str, ...]]]:
    r"""Read the sentences of a CoNLL file.

    It holds one token a line, columns parted by spaces or tabs, and a blank line between sentences.

    Args:
        source: Path, `"-"` for standard input, or lines such as an open file's. Utf-8, with or without byte
            order mark; `.gz` is unpacked. Lines end in LF or CRLF and in nothing else.
        min_columns: Number of columns the first line must have at least; the others must have as many as the
            first.
        check: Called with the last column of every line; a `ValueError` it raises becomes a `CorpusError`.

    Yields:
        The rows of a sentence, a tuple of columns each.

    Raises:
        CorpusError: if a line misses a column or has one too many, fails the check or is not utf-8, no line
            holds text, or the lines are those of a CSV file.

    Example:
        >>> list(read_columns(["Confidence NN B-NP", "in IN B-PP", "", "Rockwell NNP B-NP"]))
        [[('Confidence', 'NN', 'B-NP'), ('in', 'IN', 'B-PP')], [('Rockwell', 'NNP', 'B-NP')]]
    """
    return (rows for _, _, rows in numbered_columns(source, min_columns, check))


def numbered_columns(
    source: Source, min_columns: int = 1, check: Callable[[str], object] | None = None
) -> Iterator[tuple[str, int, list[tuple[str, ...]]]]:
    """Yield the sentences of `read_columns` with the name of their file and the number of their first line.

    Example:
        >>> next(numbered_columns(["", "in IN B-PP"]))
        ('<stream>', 2, [('in', 'IN', 'B-PP')])
    """
    rows: list[tuple[str, ...]] = []
    known: dict[str, str] = {}  # words and tags come again and again: each is kept once
    kind = _Kind("columns of a CSV file: expected columns parted by spaces or tabs")
    width, name, first = 0, "", 0
    for name, number, columns in _lines(source, _COLUMNS.findall):
        row = tuple([known.setdefault(column, column) for column in columns])
        place = f"{name}:{number}"
        if row:
            if len(row) != (wanted := width or max(len(row), min_columns)):
                got = f"{len(row)}: {shown(' '.join(row))}{_hint(row, rows)}"
                raise CorpusError(f"{place}: expected {wanted} columns, got {got}")
            width = len(row)
            if width == 1:
                kind.see(place, _SEPARATOR.split(row[0]))
            if check:
                _run_check(check, row[-1], place)
            first = first if rows else number
            rows.append(row)
            if len(rows) > LONGEST_SENTENCE:
                raise CorpusError(
                    f"{place}: a sentence has more than {LONGEST_SENTENCE:,} lines: expected blank lines "
                    f"between sentences"
                )
        elif rows:
            yield name, first, rows
            rows = []
            if len(known) > LONGEST_SENTENCE:
                known.clear()
    kind.decide()
    if rows:
        yield name, first, rows


def _run_check(check: Callable[[str], object], tag: str, place: str) -> None:
    try:
        check(tag)
    except ValueError as error:
        raise CorpusError(f"{place}: {error}") from error


def _hint(row: tuple[str, ...], before: list[tuple[str, ...]]) -> str:
    """What a line that has other columns than expected may be."""
    if len(row) == 1 and re.search("[,;|].", row[0]):
        return "; columns are parted by spaces or tabs, not by commas"
    if not any(_TAG.fullmatch(columns[-1]) for columns in (row, *before)):
        return "; a line of columns is one token; for sentences of words take read_segmented, or scheme bmes"
    return ""


def read_segmented(source: Source) -> Iterator[list[str]]:
    r"""Read segmented text: one sentence a line, words parted by white space, full-width spaces included.

    Args:
        source: As in `read_columns`.

    Yields:
        The words of each line, none for a blank line: as many lists as lines.

    Raises:
        CorpusError: if a line is not utf-8, no line holds text, or the lines are the tagged tokens of a file
            of columns.

    Example:
        >>> list(read_segmented(["共同  创造\u3000美好", "", "新  世纪"]))
        [['共同', '创造', '美好'], [], ['新', '世纪']]
    """
    kind = _Kind(
        "a file of columns, a token a line with its tag last: expected sentences of words; see "
        "read_columns, or scheme bio"
    )
    for name, number, words in _lines(source, str.split):
        kind.see(f"{name}:{number}", words)
        yield [*words]  # a list of `split` has room for twelve
    kind.decide()


class _Kind:
    """Detector of columns in lines of text.

    Lines are columns if all have the same number of parts, two or more, and the last is a tag or takes few
    values.
    """

    def __init__(self, what: str):
        self._what = what
        self._number_of_lines = self._width = self._blank = self._run = self._longest_run = 0
        self._same = self._tagged = True
        self._first: set[str] = set()
        self._last: set[str] = set()
        self._line = self._place = ""

    def see(self, place: str, parts: list[str]) -> None:
        if not self._same:
            return
        if not parts:
            self._blank, self._run = self._blank + bool(self._run), 0
            return
        self._number_of_lines, self._run = self._number_of_lines + 1, self._run + 1
        self._longest_run = max(self._run, self._longest_run)
        if self._number_of_lines == 1:
            self._width, self._place, self._line = len(parts), place, " ".join(parts)
        self._same = 1 < len(parts) == self._width
        self._tagged = self._tagged and bool(_TAG.fullmatch(parts[-1]))
        self._first.add(parts[0])
        self._last.add(parts[-1])
        if self._number_of_lines == _ENOUGH:
            self.decide()

    def decide(self) -> None:
        lines, values = self._number_of_lines, len(self._last)
        several = values > 1 or any(tag == "O" or "-" in tag for tag in self._last)
        tags = self._tagged and lines > 1 and several
        blocks = lines >= _ENOUGH // 2 and self._blank > 0 and self._longest_run > 2
        few_values = 2 * values <= lines and values < len(self._first)
        if self._same and lines and (tags or (blocks and few_values)):
            raise CorpusError(f"{self._place}: this looks like {self._what}, got '{shown(self._line)}'")


def _lines(source: Source, split: Callable[[str], list[str]]) -> Iterator[tuple[str, int, list[str]]]:
    """The parts of each line, and before them the name of the file and the number of the line."""
    file_of: AbstractContextManager[Any]
    unnamed = "<stream>"
    if source == "-":
        source, unnamed = getattr(sys.stdin, "buffer", sys.stdin), "<stdin>"
    if isinstance(source, str | os.PathLike):
        file_of, given = opened(source), os.fspath(source)
    else:
        file_of, given = nullcontext(source), getattr(source, "name", unnamed)
    name, number, empty = shown(str(given), 300), 0, True
    with file_of as file:
        for number, line in enumerate(_bounded(name, lines(file) if hasattr(file, "readline") else file), 1):
            text = _decode(line, f"{name}:{number}") if isinstance(line, bytes) else line
            parts = split((text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n"))
            empty = empty and not parts
            yield name, number, parts
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
        raise CorpusError(
            f"{place}: want utf-8, got byte {line[error.start]:#04x} after {error.start} bytes"
        ) from error

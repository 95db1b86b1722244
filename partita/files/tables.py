"""Tables of numbers in text files, read cell by cell.

What is not as expected is named by file, line and column. pandas would complete a row that is too short in
silence; the csv module of the standard library does not.
"""

import csv
import io
import math
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from partita.files.bounded import lines, opened
from partita.files.whole import reading

_MISSING = ("", "na", "nan")


class Table(NamedTuple):
    """A table of numbers.

    Args:
        values: `(rows, columns)`, float64; NaN where a cell is empty.
        names: Of the columns, if the first line has no number in it; else None.
        lines: The line of the file that each row is in, counted from 1.
    """

    values: np.ndarray
    names: list[str] | None
    lines: np.ndarray

    def column(self, place: int) -> str:
        """Return a column as errors name it.

        Example:
            >>> Table(np.ones((1, 2)), ["a", "b"], np.array([2])).column(1)
            "column 'b'"
        """
        return f"column {place + 1}" if self.names is None else f"column {self.names[place]!r:.80}"


def read_table(path: str | Path, missing: bool = False) -> Table:
    r"""Read a table of numbers, with or without a line of names.

    Numbers stand between commas, semicolons, tabs or spaces; blank lines are left out. A file `*.gz` is
    unpacked.

    Args:
        path: The file, in UTF-8.
        missing: Whether cells may be empty, `NA` or `nan`.

    Raises:
        ValueError: if the file is empty or no text, a row has more or fewer cells than the first, a cell is
            no finite number, or a name stands twice.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.csv").write_text("t,A\n0,1.5\n1,\n")
        ...     table = read_table(f"{folder}/a.csv", missing=True)
        >>> table.names, table.values.tolist(), table.lines.tolist()
        (['t', 'A'], [[0.0, 1.5], [1.0, nan]], [2, 3])
    """
    rows = _rows(Path(path))
    first, cells = next(rows, (0, [""]))
    if not first:
        raise ValueError(f"{path}: is empty, expected a table of numbers")
    table = Table(np.empty(0), None if any(map(_is_number, cells)) else cells, np.empty(0))
    if table.names is None:
        rows = chain([(first, cells)], rows)
    elif twice := next((name for name in cells if cells.count(name) > 1), None):
        raise ValueError(f"{path}:{first}: expected each name once, got {twice!r:.80} twice")
    values, places = array("d"), array("q")
    for number, row in rows:
        if len(row) != len(cells):
            raise ValueError(f"{path}:{number}: expected {len(cells)} cells, got {len(row)}")
        values.extend(_numbers(row, f"{path}:{number}", table, missing))
        places.append(number)
    return table._replace(values=np.array(values).reshape(-1, len(cells)), lines=np.array(places))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line that has any, and its number."""
    with reading(path), opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        source, blank, first = lines(text), 0, ""
        for first in source:
            if first.strip():
                break
            blank += 1
        source = chain([first], source)
        if not any(map(first.count, ",;\t")):
            yield from ((n, line.split()) for n, line in enumerate(source, blank + 1) if line.strip())
            return
        found = csv.reader(source, delimiter=max(",;\t", key=first.count), strict=True, skipinitialspace=True)
        try:
            yield from (
                (blank + found.line_num, [cell.strip() for cell in cells])
                for cells in found
                if any(map(str.strip, cells))
            )
        except csv.Error as error:
            raise ValueError(f"line {blank + found.line_num}: {error}") from error


def _numbers(cells: list[str], where: str, table: Table, missing: bool) -> list[float]:
    if missing:
        cells = ["nan" if cell.lower() in _MISSING else cell for cell in cells]
    try:
        values = [*map(float, cells)]
    except ValueError:
        values = [float(cell) if _is_number(cell) else math.inf for cell in cells]
    if all(map(math.isfinite, values)):
        return values
    for place, value in enumerate(values):
        if math.isinf(value) or (math.isnan(value) and not missing):
            raise ValueError(
                f"{where}: expected a finite number in {table.column(place)}, got {cells[place]!r:.80}"
            )
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

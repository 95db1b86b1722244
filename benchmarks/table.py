"""`python -m benchmarks.table FILE.json ...` prints what benchmarks saved as one Markdown table.

The files are those of `--out`. The table comes with day, machine and versions.

`--into README.md` puts it there instead, in place of the one between the two comments that mark it.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

BEGIN, END = "<!-- figures: python -m benchmarks.table -->", "<!-- end of figures -->"


def table(reports: Sequence[dict[str, Any]]) -> str:
    """Return the rows of all reports, and below them what they were measured on.

    Where a benchmark was saved twice, it is the later row.

    Example:
        >>> machine = {
        ...     "cpus": 2,
        ...     "platform": "Linux-6.1-x86_64",
        ...     "python": "3.11.7",
        ...     "packages": {"keras": "3.15.1"},
        ... }
        >>> row = {
        ...     "claim": "loss",
        ...     "ours": 0.002,
        ...     "peer": 0.03,
        ...     "unit": "s",
        ...     "ratio": 15.0,
        ...     "bar": "",
        ...     "met": None,
        ...     "detail": {},
        ... }
        >>> print(
        ...     table(
        ...         [
        ...             {
        ...                 "benchmark": "crf_speed",
        ...                 "date": "2026-11-22T23:03:30+00:00",
        ...                 "machine": machine,
        ...                 "rows": [row],
        ...             }
        ...         ]
        ...     )
        ... )
        | benchmark | | partita | peer | times as fast | bar | met |
        |---|---|---|---|---|---|---|
        | `crf_speed` | loss | 2 ms | 30 ms | 15× | | |
        <BLANKLINE>
        `crf_speed` on 2026-11-22: 2 cores, Linux, Python 3.11.7, keras 3.15.1.
    """
    newest = {report["benchmark"]: report for report in sorted(reports, key=lambda report: report["date"])}
    lines = ["| benchmark | | partita | peer | times as fast | bar | met |", "|---|---|---|---|---|---|---|"]
    measured_on: dict[str, list[str]] = {}
    for name, report in sorted(newest.items()):
        for place, row in enumerate(report["rows"]):
            cells = ["" if place else f"`{name}`", *(cell.replace("|", "\\|") for cell in Row(**row).cells())]
            lines.append("|" + "".join(f" {cell} |" if cell else " |" for cell in cells))
        measured_on.setdefault(f"{report['date'][:10]}: {_words(report['machine'])}.", []).append(f"`{name}`")
    return "\n".join([*lines, *(f"\n{', '.join(names)} on {when}" for when, names in measured_on.items())])


def _words(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in machine["packages"].items())
    return (
        f"{machine['cpus']} cores, {machine['platform'].partition('-')[0]}, Python {machine['python']}, "
        f"{versions}"
    )


def put(text: str, figures: str) -> str:
    r"""A document with these figures between its two marks.

    Raises:
        ValueError: if the marks are not there, once each.

    Example:
        >>> put(f"Before.\n{BEGIN}\nold\n{END}\nAfter.", "new").splitlines()[2:5]
        ['', 'new', '']
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"want one line '{BEGIN}' and one '{END}'")
    return re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}",
        lambda _: f"{BEGIN}\n\n{figures}\n\n{END}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Read the command line; print or put."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument("--into", type=Path, metavar="FILE.md")
    asked = parser.parse_args()
    figures = table([json.loads(path.read_text(encoding="utf-8")) for path in asked.files])
    if asked.into is None:
        print(figures)
    else:
        asked.into.write_text(put(asked.into.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()

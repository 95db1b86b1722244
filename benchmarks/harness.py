"""Measure ours and a peer in turn, so that whatever slows the machine slows both.

    A B A B ...   ratio = median over the rounds of peerᵢ / oursᵢ

The ratio is the result; the times belong to the machine.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """Seconds of a call, ours and the peer's, one entry per round.

    Both entries of a round were measured side by side.

    Example:
        >>> both = Comparison(ours=(1.0, 1.0, 2.0), peer=(3.0, 4.0, 8.0))
        >>> both.ratio, both.ratio_of_medians
        (4.0, 4.0)
        >>> both.spread
        (3.5, 4.0)
    """

    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def pairs(self) -> tuple[float, ...]:
        """How many times faster ours was, round by round."""
        return tuple(peer / ours for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def ratio(self) -> float:
        """Median of the pairs: a disturbance that hits one round moves it little."""
        return median(self.pairs)

    @property
    def ratio_of_medians(self) -> float:
        """Ratio of the median times; far from `ratio` only where the machine was restless."""
        return median(self.peer) / median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile of the pairs."""
        if len(self.pairs) == 1:
            return self.ratio, self.ratio
        lower, _, upper = quantiles(self.pairs, n=4, method="inclusive")
        return lower, upper


def compare(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    rounds: int = 20,
    warmup: int = 2,
    min_time: float = 0.05,
) -> Comparison:
    """Call the two in turn, `rounds` times each.

    Args:
        ours: Called without arguments. It must wait for its own result (`jax.block_until_ready`, say).
        peer: The same for the peer.
        rounds: Pairs of measurements, at least 1.
        warmup: Calls of each beforehand, at least 1: compilation is not measured.
        min_time: Seconds that one measurement lasts at least; a faster call is repeated and its mean time
            taken.

    Raises:
        ValueError: if `rounds` or `warmup` is below 1.
    """
    if rounds < 1 or warmup < 1:
        raise ValueError(f"`rounds` and `warmup` must be at least 1, got {rounds} and {warmup}")
    repeats = []
    for call in (ours, peer):
        for _ in range(warmup):
            seconds = _time(call, 1)
        repeats.append(max(1, round(min_time / seconds)))
    pairs = [(_time(ours, repeats[0]), _time(peer, repeats[1])) for _ in range(rounds)]
    return Comparison(*zip(*pairs, strict=True))


def _time(call: Callable[[], object], repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats


def compare_commands(ours: Sequence[str], peer: Sequence[str], *, rounds: int = 3) -> Comparison:
    """Run two commands in turn, each a fresh process, and compare the seconds that they print.

    Each prints the seconds it measured as its last line, a JSON number. This is for peers that cannot share a
    process with ours: another backend, another set of threads.

    Raises:
        ValueError: if `rounds` is below 1, or a command's last line is no number.
        RuntimeError: if a command fails; the message holds what it wrote.
    """
    if rounds < 1:
        raise ValueError(f"`rounds` must be at least 1, got {rounds}")
    pairs = [(_ask(ours), _ask(peer)) for _ in range(rounds)]
    return Comparison(*zip(*pairs, strict=True))


def _ask(command: Sequence[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    last = (done.stdout.splitlines() or [""])[-1]
    try:
        return float(json.loads(last))
    except (TypeError, ValueError):
        raise ValueError(f"{' '.join(command)} must print a number as its last line, got {last!r}") from None


@dataclass(frozen=True)
class Row:
    """One claim: what was measured, and the bar it had to clear."""

    claim: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    bar: str
    met: bool | None
    detail: dict[str, Any]

    def cells(self) -> tuple[str, ...]:
        """The row as the table shows it."""
        met = {True: "yes", False: "NO", None: ""}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}×"
        return self.claim, _show(self.ours, self.unit), _show(self.peer, self.unit), ratio, self.bar, met


@dataclass
class Report:
    """The rows of one benchmark.

    `rounds` is what the command line asked for, or `None`: `report.rounds or 20`.

    Example:
        >>> report = Report("demo")
        >>> report.compare("speed", Comparison(ours=(0.002,), peer=(0.03,)), at_least=10)
        >>> report.measure("F1", 0.951, peer=0.94, at_least=0.955)
        >>> print(report.table())
        claim  ours  peer   ratio  bar      met?
        speed  2 ms  30 ms  15×    ≥ 10×    yes
        F1     0.951 0.94          ≥ 0.955  NO
    """

    name: str
    rounds: int | None = None
    rows: list[Row] = field(default_factory=list)

    def compare(self, claim: str, comparison: Comparison, *, at_least: float | None = None) -> None:
        """Add times of ours and a peer.

        `at_least` is the bar for their ratio, how many times faster ours is.
        """
        ratio = comparison.ratio
        detail = {
            "ratio_of_medians": comparison.ratio_of_medians,
            "spread": comparison.spread,
            **asdict(comparison),
        }
        bar, met = _judge(ratio, at_least, None, "×")
        self._add(Row(claim, median(comparison.ours), median(comparison.peer), "s", ratio, bar, met, detail))

    def measure(
        self,
        claim: str,
        ours: float,
        *,
        peer: float | None = None,
        unit: str = "",
        at_least: float | None = None,
        at_most: float | None = None,
        **detail: Any,
    ) -> None:
        """Add a figure that speaks for itself, a score or a rate.

        One bar, for `ours`; `detail` goes into the JSON.
        """
        bar, met = _judge(ours, at_least, at_most, unit and f" {unit}")
        self._add(Row(claim, ours, peer, unit, None, bar, met, detail))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(
            *row.cells(), sep="  ", file=sys.stderr, flush=True
        )  # should the benchmark be stopped, what it measured is not lost

    def table(self) -> str:
        """The rows in aligned columns."""
        lines = [("claim", "ours", "peer", "ratio", "bar", "met?"), *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def save(self, path: Path) -> None:
        """Write the rows as JSON, with the day and the machine they were measured on."""
        content = {
            "benchmark": self.name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "rows": [asdict(row) for row in self.rows],
        }
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what a figure depends on: cores, system, Python, and versions of packages.

    The packages are all that take part in benchmarks.
    """
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(name for extra in ("jax", "torch", "tensorflow", "bench") for name in extras[extra]),
    ]
    packages = {}
    for name in sorted({re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": packages,
    }


def _judge(value: float, at_least: float | None, at_most: float | None, unit: str) -> tuple[str, bool | None]:
    if at_least is not None:
        return f"≥ {_digits(at_least)}{unit}", value >= at_least
    if at_most is not None:
        return f"≤ {_digits(at_most)}{unit}", value <= at_most
    return "", None


def _show(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "s" and value < 1:
        value, unit = (value * 1e3, "ms") if value >= 1e-3 else (value * 1e6, "µs")
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    return f"{value:{',.0f' if abs(value) >= 1000 else '.4g'}}"

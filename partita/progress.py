"""Progress of long work on standard error: tqdm's bar on a terminal, a line for each tenth elsewhere."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

_FORMAT = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {desc}"


class Progress:
    """Tells how many things are done, and what share of the work is.

    Args:
        total: How many there are.
        unit: What they are, in the plural.
        stream: Where to write; standard error by default.
        shown: Whether anything is written.

    Example:
        >>> progress = Progress(400, "trajectories", sys.stdout)
        >>> progress.tell(100, 0.25)
         25%|...| 00:00<00:00, ...trajectories/s, 100 of 400 trajectories
        >>> progress.tell(100, 0.26)
        >>> progress.tell(400)
        100%|...| 00:00<00:00, ...trajectories/s, 400 of 400 trajectories
    """

    def __init__(self, total: int, unit: str, stream: TextIO | None = None, *, shown: bool = True):
        self.total, self.unit, self.shown = total, unit, shown
        self.stream = sys.stderr if stream is None else stream
        self.changes = self.stream.isatty()
        self._begin = self._told_at = time.monotonic()
        self._told = 0

    def tell(self, done: int, share: float | None = None) -> None:
        """Say how far it has got, unless nothing worth a line has happened.

        Args:
            done: How many are done.
            share: Of the work, 0 to 1; by default that of what is done.
        """
        if not self.shown:
            return
        share = done / self.total if share is None else share
        now, tenth = time.monotonic(), int(10 * share)
        if (now - self._told_at < 0.1 and share < 1) if self.changes else tenth <= self._told:
            return
        self._told_at, self._told = now, tenth
        seconds = now - self._begin
        rate = done / max(seconds, 1e-9)
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        words = f"{speed} {self.unit}/s, {done:,} of {self.total:,} {self.unit}"
        line = tqdm.format_meter(share, 1, seconds, ncols=79, prefix=words, bar_format=_FORMAT)
        print(
            f"\r{line}" if self.changes else line,
            end="" if self.changes else "\n",
            file=self.stream,
            flush=True,
        )

    def end(self) -> None:
        """Finish the line."""
        if self.changes and self.shown:
            print(file=self.stream, flush=True)

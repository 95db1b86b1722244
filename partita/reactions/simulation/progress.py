"""The progress of an ensemble, on standard error.

It is one line that changes on a terminal, a line for each tenth elsewhere.
"""

import sys
from typing import TextIO


class Progress:
    """Tells how many trajectories are done, and what share of the time to be simulated is.

    Args:
        trajectories: How many there are.
        stream: Where to write; standard error by default.

    Example:
        >>> progress = Progress(400, sys.stdout)
        >>> progress.tell(100, 0.25)
         25%, 100 of 400 trajectories
        >>> progress.tell(100, 0.26)
        >>> progress.tell(400, 1.0)
        100%, 400 of 400 trajectories
    """

    def __init__(self, trajectories: int, stream: TextIO | None = None):
        self.trajectories = trajectories
        self.stream = sys.stderr if stream is None else stream
        self.changes = self.stream.isatty()
        self._told = -1
        self._last = ""

    def tell(self, done: int, share: float) -> None:
        """Say how far it has got, unless nothing worth a line has happened.

        Args:
            done: Trajectories that have ended.
            share: Of the time to be simulated, 0 to 1.
        """
        line = f"{share:4.0%}, {done:,} of {self.trajectories:,} trajectories"
        step = int(share * (100 if self.changes else 10))
        if line == self._last or (step <= self._told and not self.changes):
            return
        self._told, self._last = step, line
        print(line, end="\r" if self.changes else "\n", file=self.stream, flush=True)

    def end(self) -> None:
        """Finish the line."""
        if self.changes and self._last:
            print(self._last, file=self.stream, flush=True)

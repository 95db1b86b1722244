"""Mean, variance and histogram of an ensemble without keeping its trajectories.

    mean = Σ x / n,   variance = (Σ x² − (Σ x)² / n) / (n − 1)

Counts are whole numbers and are summed as such, so the result does not depend on how the ensemble was cut
into chunks.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

REDUCTIONS = ("mean", "variance", "histogram")
WIDEST = 1_000_000  # values that a histogram tells apart


class Summary:
    """Sums over the trajectories added so far; those that ended before a time do not count at it."""

    def __init__(self, species: Sequence[str], num_times: int, wanted: Sequence[str]):
        self.species, self.wanted = tuple(species), tuple(wanted)
        shape = len(self.species), num_times
        self.number = np.zeros(num_times, np.int64)
        # Python's integers: they do not overflow
        self.sums, self.squares = np.zeros(shape, object), np.zeros(shape, object)
        self.tallies: dict[str, dict[int, np.ndarray]] = {name: {} for name in self.species}

    def add(self, tables: dict[str, np.ndarray], reached: np.ndarray) -> None:
        """Add trajectories: tables `(trajectory, time)`, and whether each was reached, in the same shape."""
        self.number += reached.sum(0)
        for row, name in enumerate(self.species):
            table = tables[name]
            if table.dtype != np.int64:
                raise ValueError(
                    f"reduce works on counts, and {name!r} follows a rule: leave it out by `species`"
                )
            values = np.where(reached, table, 0)
            largest = int(np.abs(values).max(initial=0))
            exact = values if largest**2 * len(values) < 2**63 else values.astype(object)
            self.sums[row] += exact.sum(0).astype(object)
            self.squares[row] += (exact * exact).sum(0).astype(object)
            if "histogram" in self.wanted:
                self._tally(name, table, reached)

    def _tally(self, name: str, table: np.ndarray, reached: np.ndarray) -> None:
        for k in range(table.shape[1]):
            for value, count in zip(*np.unique(table[reached[:, k], k], return_counts=True), strict=True):
                tally = self.tallies[name].setdefault(int(value), np.zeros(table.shape[1], np.int64))
                tally[k] += count

    def dataset(self, times: np.ndarray) -> xr.Dataset:
        """Return what was asked for as a dataset.

        Its variables are `name_mean`, `name_variance`, `name_histogram`, and the `number` of trajectories
        at each time.

        Raises:
            ValueError: if a histogram would have more than a million values.
        """
        variables: dict[str, tuple] = {"number": ("time", self.number)}
        coordinates: dict[str, tuple] = {"time": ("time", times)}
        number = np.maximum(self.number, 1)
        for row, name in enumerate(self.species):
            if "mean" in self.wanted:
                mean = [float(total) / n for total, n in zip(self.sums[row], number, strict=True)]
                variables[f"{name}_mean"] = ("time", np.where(self.number > 0, mean, np.nan))
            if "variance" in self.wanted:
                triples = zip(self.squares[row], self.sums[row], map(int, number), strict=True)
                spread = [(n * square - total * total) / (n * max(n - 1, 1)) for square, total, n in triples]
                variables[f"{name}_variance"] = ("time", np.where(self.number > 1, spread, np.nan))
            if "histogram" in self.wanted:
                tally = self.tallies[name]
                low, high = min(tally, default=0), max(tally, default=0)
                width = high - low + 1
                if width > WIDEST:
                    raise ValueError(
                        f"a histogram of {name!r} would need {width:,} values, {WIDEST:,} are allowed"
                    )
                table = np.zeros((len(times), width), np.int64)
                for value, counts in tally.items():
                    table[:, value - low] = counts
                variables[f"{name}_histogram"] = (("time", f"{name}_value"), table)
                coordinates[f"{name}_value"] = (f"{name}_value", np.arange(low, high + 1))
        return xr.Dataset(variables, coordinates)

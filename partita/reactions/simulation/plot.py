"""A picture of an ensemble, with a row for each species.

A row shows a few trajectories, mean and spread in time, and the law at the end.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from partita.extras import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 6  # species drawn at most, the first ones
PATHS = 5  # trajectories drawn
BARS = 60  # of a histogram at most

_BLUE, _GREY = "#2f78c4", "#8a8f94"


def draw(runs: xr.Dataset) -> "Figure":
    """Draw what `simulate` returned.

    Args:
        runs: Counts `(trajectory, time)` of each species.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: if it holds no trajectory that came to its end.
        ImportError: if Matplotlib is missing.

    Example:
        >>> from partita.reactions import Network
        >>> runs = Network.from_text("A -> @ 1; A = 9").simulate([0, 1, 2], trajectories=20, seed=0)
        >>> len(draw(runs).axes)
        2
    """
    need("matplotlib", "drawing an ensemble")
    from matplotlib.figure import Figure

    runs = runs.isel(trajectory=np.flatnonzero(np.isin(runs.status, ["finished", "absorbed"])))
    names = [str(name) for name in runs.data_vars][:ROWS]
    if not runs.sizes["trajectory"] or not names:
        raise ValueError("runs must hold a trajectory that came to its end, and a species")
    figure = Figure(figsize=(9, 2.1 * len(names) + 0.7), layout="constrained")
    rows = figure.subplots(len(names), 2, squeeze=False, width_ratios=[2.2, 1])
    time = runs.time.values
    for name, (path_axes, law_axes) in zip(names, rows, strict=True):
        counts = runs[name].values  # (trajectory, time)
        mean, sd = counts.mean(axis=0), counts.std(axis=0)
        path_axes.fill_between(
            time, mean - sd, mean + sd, color=_BLUE, alpha=0.18, linewidth=0, label="mean ± sd"
        )
        for row in counts[:PATHS]:
            path_axes.plot(time, row, color=_GREY, linewidth=0.7, drawstyle="steps-post")
        path_axes.plot(time, mean, color=_BLUE, linewidth=1.8)
        path_axes.set_ylabel(name)
        path_axes.margins(x=0)
        _law(law_axes, counts[:, -1])
    rows[0, 0].legend(frameon=False, loc="upper left")
    rows[0, 0].set_title(f"{min(PATHS, len(counts))} of {len(counts):,} trajectories", fontsize=10)
    rows[0, 1].set_title(f"at t = {time[-1]:g}", fontsize=10)
    rows[-1, 0].set_xlabel("time")
    rows[-1, 1].set_xlabel("share of trajectories")
    return figure


def _law(axes, values):
    """Draw bars on their sides, beside the paths and on their scale.

    There is one for each count, or for several if they are many.
    """
    low, high = values.min(), values.max()
    width = max(1, int(np.ceil((high - low + 1) / BARS)))
    edges = np.arange(np.floor(low), high + width + 1, width) - 0.5
    share, _ = np.histogram(values, edges)
    axes.barh(edges[:-1], share / len(values), height=width, align="edge", color=_BLUE, alpha=0.7)
    axes.margins(y=0.02)

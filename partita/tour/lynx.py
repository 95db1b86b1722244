"""Lynx and hare, 1900 to 1920: two species in the wild, with noise that scatters by factors.

du/dt = (α − β v) u,   dv/dt = (−γ + δ u) v,   ln observed = ln y(t) + σ ε
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from partita import ode
from partita.tour.page import Block, Formula, Table, Words, picture

START = {"α": 1.0, "β": 0.05, "γ": 1.0, "δ": 0.05}
FILE = Path("lynx-hare", "hudson-bay-lynx-hare.csv")
_COLORS = {"hares": "#8a7a5c", "lynxes": "#b3402a"}


def predation(t: Any, y: Any, p: dict[str, Any]) -> Any:
    """dy/dt of hares and lynxes, `(..., 2)`."""
    hare, lynx = y[..., 0], y[..., 1]
    return ops.stack([hare * (p["α"] - p["β"] * lynx), lynx * (p["δ"] * hare - p["γ"])], axis=-1)


def pelts() -> tuple[np.ndarray, np.ndarray] | None:
    """Return years `(time,)` and pelts of hares and lynxes in thousands `(time, 2)`.

    The result is None where the file is not at hand. The file is looked for in the folder that the variable
    `PARTITA_DATA` names, or in `shared/data` beside the checkout.
    """
    path = Path(os.environ.get("PARTITA_DATA", Path(__file__).parents[3] / "shared" / "data")) / FILE
    if not path.is_file():
        return None
    year, lynx, hare = np.loadtxt(path, delimiter=",", skiprows=3).T
    return year, np.stack([hare, lynx], axis=-1)


def draw_fit(
    axes: Axes, found: ode.Fit, *, until: float, level: float, colors: dict[str, str], noise: bool = False
) -> None:
    """Draw what was observed of each species, the solution and its band, as far as `until`."""
    times = np.linspace(found.initial_time, until, 260)
    path, (low, high) = found.solution(times), found.band(times, level, noise=noise)
    for species, (name, color) in enumerate(colors.items()):
        axes.fill_between(times, low[:, species], high[:, species], color=color, alpha=0.2, linewidth=0)
        axes.plot(times, path[:, species], color=color, linewidth=1.6, label=name)
        axes.plot(found.times, found.observed[:, species], "o", color=color, markersize=4)
    axes.set_xlim(times[0], until)


def blocks(seed: int = 0) -> tuple[list[Block], dict[str, Any]]:
    """What the page says of it, and its numbers; where the record is missing, how to show it."""
    title = "Twenty-one years of lynx and hare"
    record = pelts()
    if record is None:
        missing = (
            f"The record of pelts is not part of partita. Where `PARTITA_DATA` names a folder that holds "
            f"`{FILE}`, this part shows its fit."
        )
        return [Words(missing, title)], {}
    years, counts = record
    found = ode.fit(
        predation, START, years, counts, noise="lognormal", fit_initial=True, sigma="species", seed=seed
    )
    rates = {name: float(found.parameters[name]) for name in START}
    errors = {name: float(found.errors[name]) for name in START}
    hares, lynxes = np.exp(found.sigma)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_fit(axes, found, until=1925, level=0.8, colors=_COLORS, noise=True)
        axes.set(xlabel="year", ylabel="pelts, thousands", ylim=(0, 130), xticks=range(1900, 1926, 5))
        axes.legend(loc="upper right", ncols=2)

    rows = [[name, f"{value:.3g}", f"{errors[name]:.1g}"] for name, value in rates.items()]
    return [
        Words(
            """Nature does not round, it scatters. The Hudson's Bay Company counted the pelts that trappers
            brought: a sample of the hares and lynxes that there were, off by a factor that differs from year
            to year. So the logarithms are compared, each species with a scatter of its own, and the first
            year's numbers are fitted along with the rates.""",
            title,
        ),
        Formula("du/dt = (α − β v) u,   dv/dt = (−γ + δ u) v,   u hares, v lynxes"),
        picture(
            draw,
            (7.2, 3.1),
            "Pelts of hares and lynxes from 1900 to 1920 with the fitted oscillation, and its continuation "
            "to 1925.",
            "Counted pelts, the fitted solution, and where eight counts in ten should lie; after 1920 "
            "nothing was seen.",
        ),
        Table(
            ["", "a year", "standard error"],
            rows,
            f"Counts scatter around the solution by a factor of {hares:.2f} (hares) and {lynxes:.2f} "
            "(lynxes).",
        ),
    ], {"rates": rates, "rate_errors": errors, "scatter": found.sigma.tolist()}

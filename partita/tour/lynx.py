"""Lynx and hare, 1900 to 1920: two species in the wild, with noise that scatters by factors.

du/dt = (α − β v) u,   dv/dt = (−γ + δ u) v,   ln observed = ln y(t) + σ ε
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from partita import ode
from partita.tour.page import Block, Formula, Table, Words, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

START = {"α": 1.0, "β": 0.05, "γ": 1.0, "δ": 0.05}
FILE = Path("lynx-hare", "hudson-bay-lynx-hare.csv")
_HARE, _LYNX = "#8a7a5c", "#b3402a"


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


def fitted(years: np.ndarray, counts: np.ndarray, seed: int) -> ode.Fit:
    """The four rates and the first two numbers."""
    return ode.fit(
        predation, START, years, counts, noise="lognormal", fit_initial=True, sigma="species", seed=seed
    )


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
    found = fitted(years, counts, seed)
    rates = {name: float(found.parameters[name]) for name in START}

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        times = np.linspace(years[0], 1925, 260)
        path, (low, high) = found.solution(times), found.band(times, 0.8, noise=True)
        for species, (name, color) in enumerate((("hares", _HARE), ("lynxes", _LYNX))):
            axes.fill_between(times, low[:, species], high[:, species], color=color, alpha=0.18, linewidth=0)
            axes.plot(times, path[:, species], color=color, linewidth=1.6, label=name)
            axes.plot(years, counts[:, species], "o", color=color, markersize=4)
        axes.set(
            xlabel="year",
            ylabel="pelts, thousands",
            xlim=(years[0], 1925),
            ylim=(0, 130),
            xticks=range(1900, 1926, 5),
        )
        axes.legend(frameon=False, loc="upper right", ncols=2)

    rows = [[name, f"{value:.3g}", f"{found.errors[name]:.1g}"] for name, value in rates.items()]
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
            "Counts scatter around the solution by a factor of {:.2f} (hares) and {:.2f} (lynxes).".format(
                *np.exp(found.sigma)
            ),
        ),
    ], {
        "rates": rates,
        "rate_errors": {name: float(found.errors[name]) for name in START},
        "scatter": found.sigma.tolist(),
    }

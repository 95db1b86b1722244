"""Study of `partita.ode`: two competing species, forward and backward.

They are solved forward by a recurrent layer, and inferred backward from seven points.
"""

from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from partita import ode
from partita.tour import lynx
from partita.tour.page import BLUE, GREY, ORANGE, Block, Formula, Study, Table, Words, picture

TIMES = np.array([0.0, 10, 15, 30, 36, 40, 42])
COUNTS = np.array(
    [[100.0, 165, 197, 280, 305, 318, 324], [150, 283, 290, 276, 269, 266, 264]]
).T  # (time, species)
TRUE = {"r1": 0.1, "r2": 0.3, "N1": 500.0, "N2": 340.0, "a1": 1e-4, "a2": 2e-4}
START = {name: value * 3 ** (-1) ** place for place, (name, value) in enumerate(TRUE.items())}
UNTIL = 150.0
_COLORS = {"species 1": BLUE, "species 2": ORANGE}


def competition(t: Any, y: Any, p: dict[str, Any]) -> Any:
    """dy/dt of the two species, `(..., 2)`."""
    first, second = y[..., 0], y[..., 1]
    grows = p["r1"] * first * (1 - first / p["N1"]) - p["a1"] * first * second
    return ops.stack([grows, p["r2"] * second * (1 - second / p["N2"]) - p["a2"] * first * second], axis=-1)


def study(seed: int = 0) -> Study:
    """Solve from several states at once, then fit the six parameters to seven rounded points.

    Args:
        seed: Of the starts of the search.
    """
    times = np.linspace(0, UNTIL, 301)
    begins = np.array([[100.0, 150], [20, 20], [20, 320], [450, 20], [480, 330], [250, 20], [20, 150]])
    solve = ode.Solve(lambda t, y: competition(t, y, TRUE), times)
    paths = ops.convert_to_numpy(solve(begins))  # (batch, time, species)
    found = ode.fit(competition, START, TIMES, COUNTS, seed=seed)
    numbers: dict[str, Any] = {
        "start": START,
        "parameters": {name: float(value) for name, value in found.parameters.items()},
        "errors": {name: float(value) for name, value in found.errors.items()},
        "rmse": found.rmse,
        "largest_error": float(np.abs(found.residuals).max()),
        "steps_of_the_search": len(found.history),
        "end_of_all_paths": paths[:, -1].round(1).tolist(),
    }
    wild, numbers["lynx_and_hare"] = lynx.blocks(seed)
    blocks = [*_forward(times, paths), *_backward(numbers, found), *wild]
    return Study("Two species, forward and backward", blocks, numbers)


def _forward(times: np.ndarray, paths: np.ndarray) -> list[Block]:
    def draw(figure: Figure) -> None:
        curves, portrait = figure.subplots(1, 2)
        for counts, (name, color) in zip(paths[0].T, _COLORS.items(), strict=True):
            curves.plot(times, counts, color=color, linewidth=1.8, label=name)
        curves.set(xlabel="time", ylabel="number", xlim=(0, UNTIL), ylim=(0, None))
        curves.legend(loc="lower right")
        for path in paths:
            portrait.plot(*path.T, color=GREY, linewidth=1.1)
            portrait.plot(*path[0], "o", color=GREY, markersize=4)
        portrait.plot(*paths[0].T, color=BLUE, linewidth=1.8)
        portrait.plot(*paths[0, -1], "o", color=ORANGE, markersize=6)
        portrait.set(xlabel="species 1", ylabel="species 2", xlim=(0, None), ylim=(0, None))

    return [
        Words(
            """Two species live on the same ground. Each would grow to a number of its own, N, and each takes
            something from the other. No sum is left out here and nothing is random: the state is a point, and
            the equation says where it goes next."""
        ),
        Formula(
            "dx_{1}/dt = r_{1} x_{1} (1 − x_{1}/N_{1}) − a_{1} x_{1} x_{2},   dx_{2}/dt = r_{2} x_{2} (1 − "
            "x_{2}/N_{2}) − a_{2} x_{1} x_{2}"
        ),
        Words(
            """A step of a solver takes a state and gives the next, x + h f(x) in its simplest form, and that
            is all that a recurrent layer does. So a layer whose step is that of Runge and Kutta solves the
            equation, without any training, and a batch of states is solved at once.""",
            "Forward: a recurrent layer is a solver",
        ),
        picture(
            draw,
            (7.2, 3.1),
            "Left: both species in time. Right: paths from seven states, which all end in one point.",
            f"From (100, 150), and from six other states: all paths come to ({paths[0, -1, 0]:.0f}, "
            f"{paths[0, -1, 1]:.0f}).",
        ),
    ]


def _backward(numbers: dict[str, Any], found: ode.Fit) -> list[Block]:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        lynx.draw_fit(axes, found, until=60, level=0.9, colors=_COLORS)
        axes.axvline(TIMES[-1], color=GREY, linewidth=1, linestyle=":")
        axes.set(xlabel="time", ylabel="number")
        axes.legend(loc="lower right")

    rows = []
    for name, start in START.items():
        value, error = numbers["parameters"][name], numbers["errors"][name]
        rows.append([f"{name[0]}_{{{name[1]}}}", f"{start:.4g}", f"{value:.4g}", f"{error:.1g}"])
    return [
        Words(
            """Backward through the same recursion goes the gradient, from what was seen to the numbers in the
            equation. Seven times the two species were counted, to whole numbers. The search begins with every
            parameter three times too large or too small; it follows the logarithms, so that none can become
            negative.""",
            "Backward: training is inference",
        ),
        picture(
            draw,
            (7.2, 3.1),
            "The seven counts of each species, and the fitted curves through them, with a narrow band.",
            "Fitted curves with a 90% band, and what was seen; right of the dotted line nothing was.",
        ),
        Table(
            ["", "start", "found", "standard error"],
            rows,
            f"RMSE {numbers['rmse']:.3f}, largest error {numbers['largest_error']:.3f}: the counts were "
            f"rounded, by up to 0.5.",
        ),
    ]

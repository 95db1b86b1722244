"""Study of `partita.ode`: two competing species, forward and backward.

They are solved forward by a recurrent layer, and inferred backward from seven points.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from partita import ode
from partita.tour import lynx
from partita.tour.page import Block, Formula, Study, Table, Words, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMES = np.array([0.0, 10, 15, 30, 36, 40, 42])
COUNTS = np.array(
    [[100.0, 165, 197, 280, 305, 318, 324], [150, 283, 290, 276, 269, 266, 264]]
).T  # (time, species)
TRUE = {"r1": 0.1, "r2": 0.3, "N1": 500.0, "N2": 340.0, "a1": 1e-4, "a2": 2e-4}
START = {name: value * 3 ** (-1) ** place for place, (name, value) in enumerate(TRUE.items())}
UNTIL = 150.0
_BLUE, _ORANGE, _GREY = "#3b86d1", "#e0812b", "#8a8f94"


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
    paths = ops.convert_to_numpy(
        ode.Solve(lambda t, y: competition(t, y, TRUE), times)(begins)
    )  # (batch, time, species)
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
    wild, measured = lynx.blocks(seed)
    numbers["lynx_and_hare"] = measured
    return Study(
        "Two species, forward and backward",
        [*_forward(times, paths), *_backward(numbers, found), *wild],
        numbers,
    )


def _forward(times: np.ndarray, paths: np.ndarray) -> list[Block]:
    def draw(figure: "Figure") -> None:
        curves, portrait = figure.subplots(1, 2)
        for species, color in enumerate((_BLUE, _ORANGE)):
            curves.plot(
                times, paths[0, :, species], color=color, linewidth=1.8, label=f"species {species + 1}"
            )
        curves.set(xlabel="time", ylabel="number", xlim=(0, UNTIL), ylim=(0, None))
        curves.legend(frameon=False, loc="lower right")
        for path in paths:
            portrait.plot(*path.T, color=_GREY, linewidth=1.1)
            portrait.plot(*path[0], "o", color=_GREY, markersize=4)
        portrait.plot(*paths[0].T, color=_BLUE, linewidth=1.8)
        portrait.plot(*paths[0, -1], "o", color=_ORANGE, markersize=6)
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
    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        times = np.linspace(0, 60, 200)
        path, (low, high) = found.solution(times), found.band(times, 0.9)
        for species, color in enumerate((_BLUE, _ORANGE)):
            axes.fill_between(times, low[:, species], high[:, species], color=color, alpha=0.25, linewidth=0)
            axes.plot(times, path[:, species], color=color, linewidth=1.6, label=f"species {species + 1}")
            axes.plot(TIMES, COUNTS[:, species], "o", color=color, markersize=5)
        axes.axvline(TIMES[-1], color=_GREY, linewidth=1, linestyle=":")
        axes.set(xlabel="time", ylabel="number", xlim=(0, 60))
        axes.legend(frameon=False, loc="lower right")

    rows = [
        [
            f"{name[0]}_{{{name[1]}}}",
            f"{START[name]:.4g}",
            f"{numbers['parameters'][name]:.4g}",
            f"{numbers['errors'][name]:.1g}",
        ]
        for name in START
    ]
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

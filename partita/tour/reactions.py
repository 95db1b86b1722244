"""Study of `partita.reactions`: a gene that is read in bursts of chance.

It is simulated exactly and compared with the exact law.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from scipy.integrate import solve_ivp

from partita.reactions import Network
from partita.tour.page import BLUE, GREY, ORANGE, Block, Formula, Lines, Piece, Study, Table, Words, picture

NETWORK = """make: -> m @ 20
read: m -> m + n @ 2.5
lose_m: m -> @ 1
lose_n: n -> @ 1"""
UNTIL = 20.0
BOUNDS = {"m": 70, "n": 180}


def study(seed: int = 0, trajectories: int = 20_000) -> Study:
    """Simulate the article's gene expression, and compare with the master equation and the rate equation.

    Args:
        seed: Of the trajectories.
        trajectories: How many.
    """
    network = Network.from_text(NETWORK)
    times = np.linspace(0, UNTIL, 201)
    runs = network.simulate(times, trajectories, seed=seed)
    path = network.trace(UNTIL, seed=seed)
    law = network.master_equation(BOUNDS)
    exact = law.distribution([UNTIL])
    solved = solve_ivp(network.rate_equation(), (0, UNTIL), [0.0, 0.0], t_eval=times, rtol=1e-8)
    counts = {name: runs[name].values[:, -1] for name in ("m", "n")}
    laws = {name: exact.isel(time=0).sum(other).values for name, other in (("m", "n"), ("n", "m"))}
    numbers: dict[str, Any] = {
        "trajectories": trajectories,
        "events": int(runs.events.sum()),
        "states": len(law.states),
        "probability_outside": float(1 - exact.sum()),
        "events_of_the_path": path.sizes["event"] - 1,
        **{name: _measure(values) for name, values in counts.items()},
        "exact": {name: _moments(law_of) for name, law_of in laws.items()},
        "rate_equation": {name: float(row[-1]) for name, row in zip(network.species, solved.y, strict=True)},
        "distance": float(_distance(counts["n"], laws["n"])),
    }
    blocks = [
        *_question(numbers),
        *_path(path),
        *_law(numbers, counts["n"], laws["n"]),
        *_mean(numbers, runs, solved.y),
    ]
    return Study("A gene, read by chance", blocks, numbers)


def _measure(values: np.ndarray) -> dict[str, float]:
    """Mean and Fano factor with their standard errors, by the delta method."""
    size, mean, variance = len(values), values.mean(), values.var(ddof=1)
    centred = values - mean
    # The Fano factor is a function of the first two moments: its influence on one observation, squared and
    # averaged.
    influence = (centred**2 - variance) / mean - variance / mean**2 * centred
    return {
        "mean": float(mean),
        "mean_error": float(np.sqrt(variance / size)),
        "fano": float(variance / mean),
        "fano_error": float(influence.std() / np.sqrt(size)),
    }


def _moments(probabilities: np.ndarray) -> dict[str, float]:
    k = np.arange(len(probabilities))
    mean = probabilities @ k
    return {"mean": float(mean), "fano": float((probabilities @ k**2 - mean**2) / mean)}


def _distance(values: np.ndarray, probabilities: np.ndarray) -> float:
    """Total variation between the counts found and a law."""
    found = np.bincount(values, minlength=len(probabilities)) / len(values)
    return np.abs(found - np.pad(probabilities, (0, len(found) - len(probabilities)))).sum() / 2


def _question(numbers: dict[str, Any]) -> list[Block]:
    return [
        Words(
            """A gene makes messenger molecules m at rate 20; each makes proteins n at rate 2.5; either kind
            is lost at rate 1. With so few molecules no two cells are alike, and the question is not how many
            proteins there are but with what probability. The network is all that has to be written:"""
        ),
        Lines([[Piece(line)] for line in NETWORK.splitlines()], aligned=True),
        Words(
            """Each reaction has a propensity a_{r}, how often it fires in a unit of time: its rate times the
            number of ways to choose what it takes. Their sum Z is the clock. The time to the next event,
            whichever it is, is exponential with mean 1/Z; which it is, is then drawn with probability a_{r} /
            Z. This is no approximation (Gillespie 1977).""",
            "Z is a clock",
        ),
        Formula("P(nothing until t) = exp(−Z t),   P(reaction r next) = a_{r} / Z,   Z = 20 + 2.5 m + m + n"),
    ]


def _path(path: Any) -> list[Block]:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for name, color in (("n", BLUE), ("m", ORANGE)):
            axes.step(path.time, path[name], where="post", color=color, linewidth=0.8, label=name)
        axes.set(xlabel="time", ylabel="molecules", xlim=(0, UNTIL), ylim=(0, None))
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    return [
        picture(
            draw,
            (7.2, 3.0),
            "Counts of m and n in one trajectory, as steps in time.",
            f"One cell: all {path.sizes['event'] - 1:,} events up to t = {UNTIL:g}, from no molecules at "
            f"all.",
        )
    ]


def _law(numbers: dict[str, Any], counts: np.ndarray, law: np.ndarray) -> list[Block]:
    top = int(max(counts.max(), np.flatnonzero(law > 1e-5).max()))
    n = np.arange(top + 1)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        found = np.bincount(counts, minlength=len(n)) / len(counts)
        axes.bar(n, found, width=1.0, color=BLUE, alpha=0.45, label=f"{len(counts):,} trajectories")
        axes.plot(n, law[: len(n)], color=ORANGE, linewidth=1.8, label="exact law")
        poisson = stats.poisson.pmf(n, numbers["exact"]["n"]["mean"])
        axes.plot(n, poisson, "--", color=GREY, linewidth=1.2, label="Poisson, same mean")
        axes.set(xlabel="proteins n", ylabel="probability", xlim=(0, top))
        axes.legend()

    rows = []
    for name, label in (("m", "messengers m"), ("n", "proteins n")):
        found, law_of = numbers[name], numbers["exact"][name]
        for key, title in (("mean", "mean"), ("fano", "variance / mean")):
            low, high = stats.norm.interval(0.95, found[key], found[f"{key}_error"])
            cells = f"{found[key]:.3f}", f"{low:.3f} to {high:.3f}", f"{law_of[key]:.3f}"
            rows.append([f"{title} of {label}", *cells])
    return [
        Words(
            f"""The probabilities of all states obey a linear equation, the master equation: one unknown for
            each pair (m, n), infinitely many. Cut off at {BOUNDS["m"]} messengers and {BOUNDS["n"]} proteins
            it has {numbers["states"]:,}, and loses a share of
            {max(numbers["probability_outside"], 1e-15):.0e} at most; its sparse matrix is exponentiated. It
            is the answer that a simulation must come to, and one that few networks allow.""",
            "The law, exactly",
        ),
        Formula("dP(m, n)/dt = Σ_{r} a_{r}(before r) P(before r) − Z(m, n) P(m, n)"),
        picture(
            draw,
            (7.2, 3.2),
            "Histogram of the proteins over all trajectories, on it the exact law, beside them a Poisson "
            "law, which is narrower.",
            f"At t = {UNTIL:g}. The histogram and the exact law differ by {100 * numbers['distance']:.1f}% "
            f"of the probability in all.",
        ),
        Table(
            ["", "simulated", "95% interval", "exact"],
            rows,
            f"{numbers['trajectories']:,} trajectories, {numbers['events']:,} events. In the long run 20, "
            f"1, 50 and 1 + 2.5 / 2 = 2.25.",
        ),
        Words(
            """Messengers come and go one by one, each by itself: their law is Poisson's, variance equal to
            the mean. Proteins come in bursts, as many as a messenger makes in its life, and their variance is
            more than twice their mean."""
        ),
    ]


def _mean(numbers: dict[str, Any], runs: Any, solution: np.ndarray) -> list[Block]:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (name, color) in enumerate((("m", ORANGE), ("n", BLUE))):
            mean, sd = runs[name].mean("trajectory").values, runs[name].std("trajectory").values
            axes.fill_between(runs.time, mean - sd, mean + sd, color=color, alpha=0.2, linewidth=0)
            axes.plot(runs.time, mean, color=color, linewidth=2.5, alpha=0.6, label=f"{name}: mean ± sd")
            label = "rate equation" if row else None
            axes.plot(runs.time, solution[row], ":", color="#111111", linewidth=1.4, label=label)
        axes.set(xlabel="time", ylabel="molecules", xlim=(0, UNTIL), ylim=(0, None))
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1))

    return [
        Words(
            """Without chance the same network is a pair of differential equations, the rate equation. Because
            every propensity here is linear, its solution is the mean of the simulated cells; what it cannot
            say is how far a cell is from the mean.""",
            "The same network without chance",
        ),
        picture(
            draw,
            (7.2, 3.0),
            "Mean and spread of m and n in time, with the rate equation on the means.",
            f"The rate equation ends at m = {numbers['rate_equation']['m']:.3f} and n = "
            f"{numbers['rate_equation']['n']:.3f}.",
        ),
    ]

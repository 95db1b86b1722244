"""`partita fit`: the parameters of a network's rate equation, inferred from a table of observations.

text or file → Network → rate equation,   data.csv → times, observed   →   ode.fit → table, fit.json, fit.png
"""

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from partita.cli.options import SEED, count, say
from partita.extras import need
from partita.files.tables import read_table
from partita.files.whole import replacing
from partita.reactions.commands.simulate import PICTURES, TextMayBeginWithAnArrow, output, read_network
from partita.reactions.network import Network

if TYPE_CHECKING:
    from partita import ode


@click.command(
    cls=TextMayBeginWithAnArrow, epilog="Example: partita fit 'k = 1; A -> B @ k' decay.csv --plot fit.png"
)
@click.argument("model")
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--free", metavar="NAME,...", help="The parameters to fit. Default: all.")
@click.option("--noise", type=click.Choice(["normal", "lognormal"]), default="normal", show_default=True)
@click.option("--stiff", is_flag=True, help="Take implicit steps.")
@click.option(
    "--exact-start",
    is_flag=True,
    help="Take what was seen at time 0 as exact. Default: as noisy as the rest, and fitted.",
)
@click.option(
    "--starts",
    type=count(10_000),
    default=8,
    show_default=True,
    help="Searches at most, the first from MODEL's values.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@output("--out", ".json", text="Write what was found: *.json.")
@output("--plot", *PICTURES, text="Draw it: *.png, *.svg, *.pdf.")
def fit(  # noqa: PLR0913 - a Click command, an argument for each option
    model: str,
    data: Path,
    free: str | None,
    noise: str,
    stiff: bool,
    exact_start: bool,
    starts: int,
    seed: int,
    out: Path | None,
    plot: Path | None,
) -> None:
    """Fit the parameters of a network's rate equation to DATA, and print them with standard errors.

    MODEL is as for 'partita simulate', its parameters the start of the search; rates that are plain numbers
    stay. DATA is a table with commas, its first column the time, the others named after species; an empty
    cell was not seen, a species without a column never was. MODEL's initial counts hold at time 0, whenever
    the first observation was made. What was seen at time 0 itself is an observation like the others: the
    initial value of that species is fitted. Times before 0 are refused.
    """
    if plot is not None:
        need("matplotlib", "--plot")
    network = read_network(model)
    names = list(network.parameters) if free is None else free.split(",")
    if unknown := [name for name in names if name not in network.parameters]:
        raise click.UsageError(f"--free must name parameters of the network, and '{unknown[0]}' is none.")
    if not names:
        raise click.UsageError(
            "MODEL has no parameter to fit: write 'A -> B @ k; k = 1' rather than 'A -> B @ 1'."
        )
    times, observed = read_observations(data, network)
    if times[0] < 0:
        raise ValueError(
            f"{data}: expected times from 0 on, where MODEL's initial counts hold, got {times[0]:g}"
        )
    known = np.array([float(network.initial[name]) for name in network.species])
    initial = np.where(np.isnan(observed[0]) | (times[0] > 0), known, np.nan)
    found = _search(network, names, (times, observed), initial, noise, stiff, exact_start, (starts, seed))
    for hint in _hints(found, stiff, starts, [*network.species]):
        say(f"Warning: {hint}", err=True)
    _tell(found, network, names, (times, observed))
    if out is not None:
        _write(found, network, names, out)
        say(f"written: {out}")
    if plot is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4.5), layout="constrained")
        found.plot([*network.species], axes=figure.add_subplot())
        with replacing(plot) as beside:
            figure.savefig(beside, dpi=150)
        say(f"drawn: {plot}")


def _search(
    network: Network,
    names: list[str],
    seen: tuple[np.ndarray, np.ndarray],
    initial: np.ndarray,
    noise: str,
    stiff: bool,
    exact_start: bool,
    effort: tuple[int, int],
) -> "ode.Fit":
    """Return the fit of these parameters to (times, observations), by (starts, seed).

    What it warns of is left to `_hints`.
    """
    from partita.backend import choose

    choose()

    from partita import ode

    told = (ode.ConvergenceWarning, ode.IdentifiabilityWarning)
    with warnings.catch_warnings(record=True) as caught:
        for category in told:
            warnings.simplefilter("always", category)
        try:
            found = ode.fit(
                network.rate_equation(),
                {name: network.parameters[name] for name in names},
                *seen,
                initial=initial,
                initial_time=0.0,
                fit_initial=False if exact_start else None,
                noise=noise,
                step="rodas4" if stiff else "rk4",
                starts=effort[0],
                seed=effort[1],
            )
        except FloatingPointError:
            other = "" if stiff else ", or with --stiff for a stiff network"
            raise click.ClickException(
                f"the solution is not finite from any start: begin with other values of parameters in "
                f"MODEL{other}"
            ) from None
    for warning in caught:
        if not issubclass(warning.category, told):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return found


def _tell(found: "ode.Fit", network: Network, names: list[str], seen: tuple[np.ndarray, np.ndarray]) -> None:
    """Print what was found."""
    width = max(9, *map(len, names))
    say(f"{'parameter':<{width}}  {'start':>12}  {'found':>12}  {'error':>10}")
    for name in names:
        start = network.parameters[name]
        say(f"{name:<{width}}  {start:>12.6g}  {found.parameters[name]:>12.6g}  {found.errors[name]:>10.2g}")
    say(f"{np.isfinite(seen[1]).sum()} values of {len(seen[0])} times; RMSE {found.rmse:.4g}")
    say(f"converged: {'yes' if found.converged else 'no'}")
    counts = [
        f"{name} = {value:.6g}" + (f" ± {error:.2g}" if error else "")
        for name, value, error in zip(network.species, found.initial, found.initial_errors, strict=True)
    ]
    say(f"at time 0: {', '.join(counts)}")


def _write(found: "ode.Fit", network: Network, names: list[str], out: Path) -> None:
    errors = {name: float(found.errors[name]) for name in names}
    content = {
        "network": str(network),
        "parameters": {name: float(found.parameters[name]) for name in names},
        "errors": {name: error if np.isfinite(error) else None for name, error in errors.items()},
        "rmse": found.rmse,
        "converged": found.converged,
    }
    with replacing(out) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _hints(found: "ode.Fit", stiff: bool, starts: int, species: list[str]) -> Iterator[str]:
    """What is wrong with a fit, and which options may help."""
    if found.message != "converged":
        yield (
            f"the fit is not to be relied on. It has {'' if found.converged else 'not '}converged"
            + (", but explains the observations worse than their means do" if found.converged else "")
            + f". Begin with other values of parameters in MODEL, or raise --starts ({starts})"
            + ("" if stiff else "; --stiff is for stiff networks")
        )
    elif found.unidentified:
        named = re.sub(
            r"initial\[0, (\d+)\]",
            lambda match: f"{species[int(match[1])]} at time 0",
            ", ".join(found.unidentified),
        )
        yield f"the observations do not determine {named}: fit fewer with --free"
    elif np.isnan(found.sigma).any():
        yield (
            "there are no more observations than parameters, and so no standard errors: fit fewer with --free"
        )


def read_observations(path: Path, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Read times `(time,)` and observations `(time, species)`, NaN where nothing was seen.

    The columns are the time and then species, in any order; those of the result are in the network's order.

    Raises:
        ValueError: with file and line, if the table is not as described.
    """
    table = read_table(path, missing=True)
    if table.names is None or len(table.lines) < 2:
        raise ValueError(f"{path}: expected a line of names and at least two lines of numbers")
    columns = table.names[1:]
    if wrong := next((name for name in columns if name not in network.species), None):
        raise ValueError(f"{path}: {wrong!r} is no species of the network ({', '.join(network.species)})")
    if not columns:
        raise ValueError(f"{path}: expected the time and then species, got {table.names[0]!r} alone")
    times = table.values[:, 0]
    for row in np.flatnonzero(np.isnan(times) | (np.diff(times, prepend=-np.inf) <= 0)):
        raise ValueError(f"{path}:{table.lines[row]}: expected rising times, got {times[row]:g}")
    observed = np.full((len(times), len(network.species)), np.nan)
    observed[:, [network.species.index(name) for name in columns]] = table.values[:, 1:]
    return times, observed

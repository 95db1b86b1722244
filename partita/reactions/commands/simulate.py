"""The command `partita simulate`: an ensemble of a reaction network.

text or file → Network → simulate → summary on standard output, runs.nc, runs.png

It goes from a line of text to a table, a file and a picture.
"""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import numpy as np

from partita.cli.options import FiniteRange, count, ending, say
from partita.extras import need
from partita.files.whole import replacing
from partita.quoting import shown
from partita.reactions.network import Network, read_sbml
from partita.waiting import is_left_behind

if TYPE_CHECKING:
    import xarray

MOST_NUMBERS = 2**26  # that are kept in memory: 512 MiB
OWN = 20  # of a trajectory, beside its counts
PICTURES = (".png", ".svg", ".pdf")
Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _pairs(*names: str, kind: Callable[[str], float], metavar: str, text: str) -> Option:
    """Return an option that may be given several times, a name and a number each time."""

    def read(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
        pairs = {}
        for value in values:
            name, _, number = value.partition("=")
            try:
                pairs[name.strip()] = kind(number)
            except ValueError:
                raise click.BadParameter(f"want NAME=NUMBER, got '{shown(value, 200)}'.") from None
        return pairs

    return click.option(*names, multiple=True, metavar=metavar, callback=read, help=text)


def output(name: str, *endings: str, text: str) -> Option:
    """Return the option of a file to write, which ends in one of `endings`."""
    return click.option(name, type=click.Path(path_type=Path), callback=ending(*endings), help=text)


class TextMayBeginWithAnArrow(click.Command):
    """A command whose argument `-> A @ 1` is no option."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        return super().parse_args(
            context, [f" {text}" if text.startswith("->") else text for text in arguments]
        )


@click.command(
    cls=TextMayBeginWithAnArrow,
    epilog="Example: partita simulate '-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1' --until 10 --plot "
    "genes.png",
)
@click.argument("model")
@click.option(
    "--until",
    type=FiniteRange(0, min_open=True),
    required=True,
    help="The last time, in the unit of the rates.",
)
@click.option(
    "--points",
    type=count(10**7),
    default=200,
    show_default=True,
    help="Times after 0, evenly spaced, for --out and --plot.",
)
@click.option("--trajectories", type=count(2**32), default=1000, show_default=True)
@_pairs("--initial", kind=int, metavar="NAME=COUNT", text="A count at the start. May be given several times.")
@_pairs("--set", "parameters", kind=float, metavar="NAME=VALUE", text="A parameter; again for more.")
@click.option("--species", metavar="NAME,...", help="What to record. Default: all species.")
@click.option(
    "--method", type=click.Choice(["auto", "direct", "sparse", "tau"]), default="auto", show_default=True
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="The same seed gives the same runs.")
@click.option("--max-events", type=count(2**62), help="Stop a trajectory after so many events.")
@output("--out", ".nc", ".zarr", text="Write all runs: *.nc or *.zarr.")
@output("--plot", *PICTURES, text="Draw them: *.png, *.svg, *.pdf.")
def simulate(  # noqa: PLR0913 - a Click command, an argument for each option
    model: str,
    until: float,
    points: int,
    trajectories: int,
    initial: dict[str, int],
    parameters: dict[str, float],
    species: str | None,
    method: str,
    seed: int | None,
    max_events: int | None,
    out: Path | None,
    plot: Path | None,
) -> None:
    """Simulate a reaction network exactly, and print mean and spread of each species at the end.

    MODEL is the network's text, a file that holds it, an SBML file (*.xml, *.sbml), or - for text on standard
    input. A run into --out that was stopped goes on where it was when it is called again.

    Trajectories that stop early (at a bad propensity, an event limit, a count that is too large or a bad
    event) are left out of mean and spread, with a warning; the exit code is 1 where none came to the end, 130
    after Ctrl-C.
    """
    from partita.reactions.simulation.ensemble import SimulationWarning

    if plot is not None:
        need("matplotlib", "--plot")
    network = read_network(model)
    names = None if species is None else species.split(",")
    # whose leaps end at each point; the others' runs are the same without
    if out is None and plot is None and method != "tau":
        points = 1
    many = trajectories * (OWN + (points + 1) * len(network.species if names is None else names))
    if out is None and many > MOST_NUMBERS:
        raise click.UsageError(
            f"{many:,} numbers are more than the {MOST_NUMBERS:,} kept in memory: write them (--out), or "
            f"ask for fewer."
        )
    times = np.linspace(0, until, points + 1)
    options = {"species": names, "method": method, "max_events": max_events, "save": out}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulationWarning)  # told below
        runs = network.simulate(
            times, trajectories, initial, parameters, seed, **options, progress=sys.stderr.isatty()
        )
    stopped = runs.attrs["stopped"].splitlines()
    if runs.sizes["trajectory"] < trajectories or (runs.status == "interrupted").any():
        later = "" if out is None else f"; the same command goes on, its chunks are in {out}.partial"
        leave(f"partita: {stopped[0]}{later}", 130)
    _report(runs, until, stopped[0] if stopped else "", out)
    if plot is not None:
        from partita.reactions.simulation.plot import draw

        with replacing(plot) as beside:
            draw(runs).savefig(beside, dpi=150)
        say(f"drawn: {plot}")
    if out is not None:
        say(f"written: {out}")


def _report(runs: "xarray.Dataset", until: float, reason: str, out: Path | None) -> None:
    """Print mean and spread at the end, or fail where no trajectory came to it for the reason given."""
    recorded = [str(name) for name in runs.data_vars]
    width = max(7, *map(len, recorded))
    last = runs.isel(time=-1)
    there = last.status.isin(["finished", "absorbed"])
    early = int((~there).sum())
    endings = zip(*np.unique(runs.status, return_counts=True), strict=True)
    said = ", ".join(f"{count:,} {status}" for status, count in endings)
    if early == len(there):
        written = "" if out is None else f"; what there is is in {out}"
        raise click.ClickException(f"{reason}; no trajectory came to t = {until:g} ({said}){written}")
    if early:
        say(
            f"partita: {early:,} of {len(there):,} trajectories stopped early and are left out: {reason}",
            err=True,
        )
    say(f"{'species':<{width}}  {'mean':>12}  {'sd':>12}  {'least':>10}  {'most':>10}")
    for name in recorded:
        values = last[name].values[there.values]
        spread = f"{values.mean():>12.6g}  {values.std(ddof=len(values) > 1):>12.6g}"
        say(f"{name:<{width}}  {spread}  {values.min():>10.6g}  {values.max():>10.6g}")
    say(
        f"{runs.sizes['trajectory']:,} trajectories to t = {until:g}: {said}; {int(runs.events.sum()):,} "
        f"events; seed {runs.attrs['seed']}"
    )


def leave(message: str, code: int) -> NoReturn:
    """Print a line on standard error, and exit.

    It exits at once where a compiler is still running, which nothing else stops.
    """
    say(message, err=True)
    if is_left_behind():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise click.exceptions.Exit(code)


def read_network(model: str) -> Network:
    """The network that an argument gives: its text, a file, or `-`."""
    path = Path(model)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a text too long for a path, or with a null character
        is_file = False
    if model == "-":
        return Network.from_text(sys.stdin.read())
    if not is_file:
        if "->" in model or "\n" in model:
            return Network.from_text(model)
        raise click.UsageError(
            f"MODEL must be the text of a network ('A -> B @ 1') or a file, and '{shown(model, 200)}' is "
            f"neither."
        )
    try:
        if path.suffix in (".xml", ".sbml"):
            return read_sbml(path)
        return Network.from_text(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{shown(str(path), 300)} is not utf-8: byte {error.start}") from None
    except ValueError as error:
        raise click.ClickException(f"{shown(str(path), 300)}: {error}") from None

"""`partita tour`: the studies, and the page that shows them."""

from pathlib import Path

import click

from partita.cli.options import SEED
from partita.tour import STUDIES, run


@click.command(
    short_help="Write a page of short studies.", epilog="Example: partita tour --only crf --out page"
)
@click.option(
    "--only", multiple=True, metavar="NAME", help="Run this study only. May be given several times."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="tour",
    show_default=True,
    help="Folder of the page.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="The same seed gives the same studies.")
def tour(only: tuple[str, ...], out: Path, seed: int) -> None:
    """Run short studies on real input, and write a page that shows what they found."""
    if unknown := [name for name in only if name not in STUDIES]:
        raise click.UsageError(f"--only must name studies out of {', '.join(STUDIES)}; got '{unknown[0]}'.")
    click.echo(f"The page is {run(only or None, out, seed)}")

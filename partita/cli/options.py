"""Shared Click types and validators of the commands."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from partita.quoting import printable

SEED = click.IntRange(0, 2**32 - 1)


def count(most: int = 2**31 - 1, least: int = 1) -> click.IntRange:
    """Return the type of an option that is a whole number from `least` to `most`."""
    return click.IntRange(least, most)


def say(text: str, err: bool = False) -> None:
    r"""Print lines in which names of files, words and columns may stand.

    Characters that a terminal would obey are escaped.

    Example:
        >>> say("a\x1b[2J.csv: written")
        a\x1b[2J.csv: written
    """
    click.echo("\n".join(map(printable, text.split("\n"))), err=err)


class FiniteRange(click.FloatRange):
    """The type of an option that is a number in a range, infinity and NaN excluded.

    Example:
        >>> FiniteRange(0).convert("nan", None, None)
        Traceback (most recent call last):
        click.exceptions.BadParameter: expected a finite number, got nan.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail as Click does."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, got {value}.", param, ctx)
        return number


def ending(*endings: str) -> Callable[..., Path | None]:
    """Return a validator of a path: it must end in one of `endings`.

    It must be in an existing folder, and be no folder itself unless it is Zarr's.
    """

    def check(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix not in endings:
            raise click.BadParameter(f"expected a file that ends in {' or '.join(endings)}, got '{path}'.")
        if path is not None and not path.parent.is_dir():
            raise click.BadParameter(f"folder '{path.parent}' does not exist.")
        if path is not None and path.is_dir() and path.suffix != ".zarr":  # which is a folder
            raise click.BadParameter(f"expected the name of a file, got the folder '{path}'.")
        return path

    return check

"""What options of all commands are checked by."""

from collections.abc import Callable
from pathlib import Path

import click


def ending(*endings: str) -> Callable[..., Path | None]:
    """A check of an option: the path ends in one of these, in a folder that is there."""

    def check(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix not in endings:
            raise click.BadParameter(f"want a file that ends in {' or '.join(endings)}, got '{path}'.")
        if path is not None and not path.parent.is_dir():
            raise click.BadParameter(f"folder '{path.parent}' does not exist.")
        return path

    return check

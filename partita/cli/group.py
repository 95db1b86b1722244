"""The command `partita`, a group of the commands of the parts.

Each command is imported when it is used, and whatever goes wrong is said in one line.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from partita.quoting import printable
from partita.version import __version__

if TYPE_CHECKING:
    import click

# Command → the module that holds it under the same name, and what `partita --help` says of it without
# importing that module.
PARTS = {
    "tag": ("partita.crf.command", "Cut text into words or label its tokens, with a linear-chain CRF."),
    "flow": ("partita.flows.command", "Fit a normalizing flow, draw from it, score with it."),
    "simulate": ("partita.reactions.commands.simulate", "Simulate a reaction network exactly."),
    "fit": ("partita.reactions.commands.fit", "Fit a network's rate equation to a table."),
    "embed": ("partita.contrast.command", "Make vectors of the words of a text."),
    "tour": ("partita.tour.command", "Write a page of short studies."),
}
# what a shell offers after them, as quickly
INSIDE = {"tag": ("apply", "score", "train"), "flow": ("fit", "sample", "score")}

LONGEST = 1200  # characters of a message: fifteen lines of a terminal


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit.

    The exit status is 0 when done, 1 for bad input, 2 for wrong use, 70 for an internal error, 130 when
    stopped by Ctrl-C.

    Args:
        arguments: What stands after `partita` on the command line, by default `sys.argv[1:]`.

    Example:
        >>> from contextlib import suppress
        >>> with suppress(SystemExit):
        ...     main(["--version"])
        partita ...
    """
    try:
        import click
    except ModuleNotFoundError:
        _stop("the command line needs click: pip install 'partita[cli]'", 2)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where, **more: _say(str(message))
            sys.exit(commands().main(arguments, prog_name="partita", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _stop(error.format_message() + hint, error.exit_code)
    except click.ClickException as error:
        _stop(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (ArithmeticError, ImportError, MemoryError, OSError, ValueError) as error:
        _stop(str(error) or type(error).__name__, 1)
    except Exception as error:  # a fault of ours: PARTITA_TRACEBACK=1 shows where
        if os.environ.get("PARTITA_TRACEBACK"):
            raise
        _stop(
            f"internal error, please report it: {type(error).__name__}: {error} (PARTITA_TRACEBACK=1 shows "
            f"where it happened)",
            70,
        )


def _say(message: str) -> None:
    """Print one line on stderr, control characters escaped, no longer than a screen."""
    line = printable(" ".join(message.split()))
    middle = f" … ({len(line) - LONGEST} characters left out) … "
    print(
        "partita:",
        line if len(line) <= LONGEST else line[: LONGEST - 200] + middle + line[-200:],
        file=sys.stderr,
    )


def _stop(message: str, code: int) -> NoReturn:
    _say(message)
    sys.exit(code)


def load_command(name: str) -> "click.Command":
    """Return the command of a part, whose module is imported."""
    return getattr(import_module(PARTS[name][0]), name)


def commands() -> "click.Group":
    """All commands, as a click group."""
    import click

    class Parts(click.Group):
        def resolve_command(self, ctx, args):
            name, command, rest = super().resolve_command(ctx, args)
            if name in PARTS and not (ctx.resilient_parsing and name in INSIDE and not rest):
                command = load_command(name)
            return name, command, rest

    @click.group(
        cls=Parts, help="Models around the partition function.", epilog="Example: partita tag train --help"
    )
    @click.version_option(__version__, message="%(prog)s %(version)s")
    def partita():
        pass

    @partita.command(short_help="Say what is installed.", epilog="Example: partita doctor")
    def doctor() -> None:
        """Say what partita finds here, and what an extra would add.

        It lists versions, the backend and its devices, and folders of caches.
        """
        from partita.cli.doctor import report

        for line in report():
            click.echo(line)

    for name, (_, summary) in PARTS.items():  # names and summaries alone, until one is used
        inside = {inner: click.Command(inner) for inner in INSIDE.get(name, ())}
        partita.add_command(click.Group(name, inside, help=summary))
    return partita

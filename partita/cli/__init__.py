"""The command line."""

from partita.cli.group import main

__all__ = ("main",)

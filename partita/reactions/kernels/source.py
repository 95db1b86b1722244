"""The text that all generated kernels begin with, and the indentation of their lines."""

from collections.abc import Iterable, Iterator

from partita.reactions.kernels import streams
from partita.reactions.kernels.state import Rows, Shared
from partita.reactions.model.operators import OPERATORS

ARGUMENTS = "queue, places, rows, shared, p, budget"
UNPACK = (f"{', '.join(Rows._fields)} = rows", f"{', '.join(Shared._fields)} = shared")
DECORATOR = '@njit(nogil=True, error_model="numpy", boundscheck=False, no_cfunc_wrapper=True)'
INNER = '@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)'  # not called from Python


def header() -> str:
    """Source that stands at the beginning: what the rest calls."""
    return "\n".join(
        [
            "import numpy as np",
            "from numba import njit",
            f"from {streams.__name__} import advance, exponential, fetch_add, uniform\n",
            *(f"{INNER}\n{row.definition}\n" for row in OPERATORS.values() if row.definition),
            "",
        ]
    )


def indented(lines: Iterable[str], depth: int) -> Iterator[str]:
    """The lines, moved right."""
    return ("    " * depth + line for line in lines)
